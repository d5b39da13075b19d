"""Configuration: precedence, refusals, sizes, and that files and docs agree with the schema."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from server.config import ConfigError, Settings, Source, dump, effective, find_config_file, load
from server.config.about import About
from server.config.render import document, reference, toml
from server.config.schema import ENTRY_KEYS, KEYS, LISTS, SECTIONS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    """A directory without a config.toml."""
    return tmp_path / "nowhere"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "my.toml"


TWO_OF_EACH = """
[[models]]
path = "a.pth"
[[models]]
path = "b.pth"
id = "bee"
dtype = "bf16"
[[adapters]]
name = "poet"
path = "poet.pth"
alpha = 32
[[adapters]]
name = "clerk"
path = "clerk.pth"
model = "bee"
initial = "init_pissa.pth"
"""


def refusal(
    text: str | None = None,
    path: Path | None = None,
    env: dict[str, str] | None = None,
    flags: dict[str, Any] | None = None,
) -> str:
    """The one sentence that refuses the given configuration."""
    if path is not None and text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(path, env or {}, flags or {}, directory=Path("/nonexistent"))
    return str(caught.value)


def test_defaults_hold_when_nothing_is_given(nowhere: Path) -> None:
    assert load(directory=nowhere) == Settings()


def test_each_way_of_setting_a_value_beats_the_next_one(file: Path, nowhere: Path) -> None:
    file.write_text("[server]\nport = 1\n")
    env = {"RWKV_SERVER_PORT": "2"}
    flags = {"server.port": 3}
    ports = [
        load(file, env, flags).server.port,
        load(file, env).server.port,
        load(file).server.port,
        load(directory=nowhere).server.port,
    ]
    assert ports == [3, 2, 1, 8000]


def test_one_value_does_not_reset_its_neighbours(file: Path) -> None:
    file.write_text("[engine]\nmax_slots = 4\nmax_queue = 5\n")
    engine = load(file, {"RWKV_SERVER_ENGINE__MAX_QUEUE": "6"}).engine
    assert (engine.max_slots, engine.max_queue, engine.prefill_chunk) == (4, 6, 256)


def test_flags_that_were_not_given_change_nothing(file: Path) -> None:
    file.write_text('[server]\nhost = "::1"\napi_keys = ["k"]\n')
    settings = load(file, {}, {"server.host": None, "server.api_keys": []})
    assert (settings.server.host, settings.server.api_keys) == ("::1", ("k",))


def test_an_empty_environment_variable_counts_as_not_set(nowhere: Path) -> None:
    assert load(env={"RWKV_SERVER_MODEL": ""}, directory=nowhere).model.path == "gosling"


def test_variables_of_others_are_ignored(nowhere: Path) -> None:
    assert load(env={"PORT": "x", "RWKV_HOME": "y"}, directory=nowhere) == Settings()


def test_a_list_in_a_variable_is_separated_by_commas(nowhere: Path) -> None:
    settings = load(env={"RWKV_SERVER_API_KEYS": "a, b,,c "}, directory=nowhere)
    assert settings.server.api_keys == ("a", "b", "c")


@pytest.mark.parametrize("key", KEYS.values(), ids=lambda key: key.name)
def test_every_setting_is_settable_by_its_systematic_variable(key: Any, nowhere: Path) -> None:
    text = toml(key.info.default).strip('[]"') or "word"
    settings = load(env={key.env: text}, directory=nowhere)
    assert settings.sources[key.name] == Source("env", key.env)


@pytest.mark.parametrize(
    ("text", "count"),
    [("1GiB", 2**30), ("1GB", 10**9), ("8 MiB", 2**23), ("1.5KiB", 1536), ("12345", 12345)],
)
def test_sizes_take_units(text: str, count: int, nowhere: Path) -> None:
    settings = load(env={"RWKV_SERVER_SESSIONS__MEMORY_BYTES": text}, directory=nowhere)
    assert settings.sessions.memory_bytes == count


def test_an_empty_string_in_the_file_clears_an_optional_setting(file: Path) -> None:
    file.write_text('[model]\nid = ""\n')
    assert load(file).model.id is None


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().server.port = 1


def test_keys_are_not_in_the_representation() -> None:
    assert "hunter2" not in repr(load(overrides={"server.api_keys": ["hunter2"]}))


def test_the_flag_names_the_file_before_the_variable_and_the_directory(tmp_path: Path) -> None:
    (tmp_path / "config.toml").touch()
    env = {"RWKV_SERVER_CONFIG": "/b.toml"}
    found = [
        find_config_file(Path("/a.toml"), env, tmp_path),
        find_config_file(None, env, tmp_path),
        find_config_file(None, {}, tmp_path),
        find_config_file(None, {}, tmp_path / "empty"),
    ]
    assert found == [Path("/a.toml"), Path("/b.toml"), tmp_path / "config.toml", None]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[server]\nprot = 1\n", ["'server.prot'", "my.toml", "did you mean server.port?"]),
        ("[sever]\nport = 1\n", ["'sever'", "my.toml", "did you mean server?"]),
        ("port = 1\n", ["'port'", "did you mean server.port?"]),
        ("[engine]\nport = 1\n", ["'engine.port'", "did you mean server.port?"]),
        ("[server]\nzzzzz = 1\n", ["'server.zzzzz'", "`rwkv-server config`"]),
        ("server = 1\n", ["'server'", "table", "is 1"]),
        ('[server]\nport = "8000"\n', ["server.port", "my.toml", "port number", '"8000"']),
        ("[server]\nport = 65536\n", ["server.port", "from 0 to 65535", "65536"]),
        ("[server]\nport = true\n", ["server.port", "is true"]),
        ("[log]\naccess = 1\n", ["log.access", "true or false", "is 1"]),
        ("[log]\nlevel = 1979-05-27\n", ["log.level", "debug, info", "1979-05-27"]),
        ('[model]\ndevice = "tpu"\n', ["model.device", "auto, cpu or cuda", '"tpu"']),
        ("[engine]\nmax_slots = 0\n", ["engine.max_slots", "1 or more", "is 0"]),
        ("[server]\nrequest_timeout_s = nan\n", ["request_timeout_s", "seconds", "NaN"]),
        ('[server]\nmax_body_bytes = "much"\n', ["max_body_bytes", '"8MiB"', '"much"']),
        ("[sessions]\nmemory_bytes = -1\n", ["memory_bytes", "is -1"]),
        ("[server]\nhost = \n", ["my.toml", "not valid TOML", "line 2"]),
        ("[server]\nport = 1\nport = 2\n", ["my.toml", "not valid TOML"]),
        ("models = 1\n", ["'models'", "my.toml", "[[models]]", "is 1"]),
        ('[models]\npath = "a"\n', ["'models'", "[[models]]", '{"path": "a"}']),
        ("models = [1]\n", ["[[models]] number 1", "my.toml", "table", "is 1"]),
        ('[[model]]\npath = "a"\n', ["'model'", "my.toml", "[model]"]),
        ('[[modles]]\npath = "a"\n', ["'modles'", "did you mean model"]),
        ('[[models]]\nid = "a"\n', ["[[models]] number 1", "my.toml", "no path", "checkpoint"]),
        ('[[models]]\npath = ""\n', ["path of [[models]] number 1", 'is ""']),
        (
            '[[models]]\npath = "a"\n[[models]]\npth = "b"\n',
            ["'pth' of [[models]] number 2 in", "my.toml", "did you mean models.path?"],
        ),
        (
            '[[models]]\npath = "a"\n[[models]]\npath = "b"\ndtype = "int3"\n',
            [
                "dtype of [[models]] number 2 in",
                "my.toml",
                "float32, bf16, fp16, int8, w8a8 or int4",
                '"int3"',
            ],
        ),
        ('[[models]]\npath = "a"\ndevice = "cpu"\n', ["'device' of [[models]] number 1"]),
        ('[[adapters]]\nname = "x"\n', ["[[adapters]] number 1", "no path"]),
        ('[[adapters]]\nname = "a:b"\npath = "x"\n', ["name of [[adapters]]", "hyphens", '"a:b"']),
        (
            '[[adapters]]\nname = "x"\npath = "x"\nalpha = 0\n',
            ["alpha of [[adapters]] number 1", "above 0", "is 0"],
        ),
        (
            '[[adapters]]\nname = "x"\npath = "x"\nalhpa = 1\n',
            ["'alhpa'", "did you mean adapters.alpha?"],
        ),
    ],
)
def test_a_bad_file_is_refused_in_one_sentence_that_names_it(
    text: str, words: list[str], file: Path
) -> None:
    said = refusal(text=text, path=file)
    assert [word for word in words if word not in said] == []
    assert "\n" not in said


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"RWKV_SERVER_PROT": "1"}, ["RWKV_SERVER_PROT", "did you mean RWKV_SERVER_PORT?"]),
        ({"RWKV_SERVER_MAX_SLOTS": "1"}, ["did you mean RWKV_SERVER_ENGINE__MAX_SLOTS?"]),
        ({"RWKV_SERVER_QQQ": ""}, ["RWKV_SERVER_QQQ", "`rwkv-server config`"]),
        ({"RWKV_SERVER_PORT": "tcp://10.0.0.1:80"}, ["RWKV_SERVER_PORT", "port number", "tcp:"]),
        ({"RWKV_SERVER_LOG__ACCESS": "maybe"}, ["RWKV_SERVER_LOG__ACCESS", "true or false"]),
        (
            {"RWKV_SERVER_PORT": "1", "RWKV_SERVER_SERVER__PORT": "1"},
            ["RWKV_SERVER_PORT", "RWKV_SERVER_SERVER__PORT", "keep one"],
        ),
    ],
)
def test_a_bad_variable_is_refused_by_name(env: dict[str, str], words: list[str]) -> None:
    said = refusal(env=env)
    assert [word for word in words if word not in said] == []


def test_a_bad_flag_is_refused_by_its_own_name() -> None:
    assert refusal(flags={"model.dtype": "int3"}) == (
        '--dtype must be auto, float32, bf16, fp16, int8, w8a8 or int4, but is "int3".'
    )


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("poet.pth", ["--adapter", "NAME=PATH", '"poet.pth"']),
        ("a:b=poet.pth", ["name in --adapter", "hyphens", '"a:b"']),
        ("poet=", ["path in --adapter", 'is ""']),
    ],
)
def test_a_bad_adapter_flag_is_refused_by_its_part(flag: str, words: list[str]) -> None:
    said = refusal(flags={"adapters": [flag]})
    assert [word for word in words if word not in said] == []


def test_entries_come_in_the_order_of_the_file(file: Path) -> None:
    file.write_text(TWO_OF_EACH)
    settings = load(file)
    assert [(model.path, model.id, model.dtype) for model in settings.models] == [
        ("a.pth", None, "auto"),
        ("b.pth", "bee", "bf16"),
    ]
    assert [(item.name, item.model, item.alpha, item.initial) for item in settings.adapters] == [
        ("poet", None, 32, None),
        ("clerk", "bee", None, "init_pissa.pth"),
    ]


def test_adapters_of_flags_come_after_those_of_the_file(file: Path) -> None:
    file.write_text(TWO_OF_EACH)
    settings = load(file, overrides={"adapters": ["fool=a=b.pth"]})
    assert [(item.name, item.path) for item in settings.adapters[1:]] == [
        ("clerk", "clerk.pth"),
        ("fool", "a=b.pth"),
    ]


def test_the_dump_tells_where_each_value_of_an_entry_came_from(file: Path) -> None:
    file.write_text(TWO_OF_EACH)
    lines = dump(load(file, overrides={"adapters": ["fool=fool.pth"]})).splitlines()
    second = lines[lines.index('path = "b.pth"  # file ' + str(file)) :]
    assert second[1] == f'id = "bee"  # file {file}'
    assert "keep_thinking = true  # default" in second
    assert lines.count("[[adapters]]") == 3
    assert 'path = "fool.pth"  # flag --adapter' in lines


def test_the_dump_of_entries_is_toml_that_gives_the_same_entries(file: Path) -> None:
    file.write_text(TWO_OF_EACH)
    settings = load(file, overrides={"adapters": ["fool=fool.pth"]})
    file.write_text(dump(settings), encoding="utf-8")
    again = load(file)
    assert (again.models, again.adapters) == (settings.models, settings.adapters)


def test_an_unknown_override_is_refused() -> None:
    assert "'server.prot'" in refusal(flags={"server.prot": 1})


def test_a_named_file_that_is_missing_is_refused(nowhere: Path) -> None:
    assert "does not exist" in refusal(path=nowhere / "my.toml")


def test_a_folder_is_not_a_configuration_file(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(path=tmp_path)


def test_a_file_that_is_not_text_is_refused(file: Path) -> None:
    file.write_bytes(b"[server]\nhost = '\xff'\n")
    assert "not UTF-8" in refusal(path=file)


def test_a_refused_key_is_not_quoted(file: Path) -> None:
    assert "hunter2" not in refusal(text='[server]\napi_keys = "hunter2"\n', path=file)


def test_a_long_value_is_cut_in_the_refusal(file: Path) -> None:
    assert len(refusal(text=f'[model]\ndevice = "{"x" * 9999}"\n', path=file)) < 300


def test_the_dump_tells_where_each_value_came_from(file: Path) -> None:
    file.write_text("[engine]\nmax_slots = 4\n")
    lines = dump(load(file, {"RWKV_SERVER_HOST": "::1"}, {"server.port": 9})).splitlines()
    assert "port = 9  # flag --port" in lines
    assert 'host = "::1"  # env RWKV_SERVER_HOST' in lines
    assert f"max_slots = 4  # file {file}" in lines
    assert 'path = "gosling"  # default' in lines


def test_the_dump_masks_keys() -> None:
    assert 'api_keys = ["***", "***"]  # flag --api-key' in dump(
        load(overrides={"server.api_keys": ["hunter2", "hunter3"]})
    )


# No surrogates: neither TOML nor UTF-8 can hold them.
words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(path=words, origins=st.lists(words, min_size=1), size=st.integers(0, 2**50))
def test_the_dump_is_toml_that_gives_the_same_settings(
    path: str, origins: list[str], size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    given_ = {"model.path": path, "server.cors_origins": origins, "sessions.memory_bytes": size}
    settings = load(overrides=given_)
    copy = tmp_path_factory.mktemp("dump") / "copy.toml"
    copy.write_text(dump(settings), encoding="utf-8", newline="\n")
    again = load(copy)
    assert [getattr(again, name) for name in SECTIONS] == [
        getattr(settings, name) for name in SECTIONS
    ]


def test_effective_lists_every_setting_once() -> None:
    names = [
        f"{section}.{key}" for section, model in SECTIONS.items() for key in model.model_fields
    ]
    assert [item.name for item in effective(Settings())] == names


@pytest.mark.parametrize("key", [*KEYS.values(), *ENTRY_KEYS.values()], ids=lambda key: key.name)
def test_every_setting_has_a_unit_and_a_reason(key: Any) -> None:
    about: About = key.about
    assert all((about.what, about.unit, about.reason))
    assert "|" not in about.what + about.unit + about.reason  # it would split the docs' table


def test_the_repositorys_config_toml_is_the_schemas_text() -> None:
    text = (ROOT / "config.toml").read_text(encoding="utf-8")
    assert text == reference(), "run `make docs`"


def test_the_repositorys_config_toml_changes_nothing() -> None:
    assert load(ROOT / "config.toml") == Settings()


def test_every_line_of_config_toml_can_be_uncommented(file: Path) -> None:
    bare = [line.removeprefix("# ") for line in reference().splitlines()]
    listed = [line for line in bare if line.startswith("[") or line.split(" = ")[0].isidentifier()]
    file.write_text("\n".join(listed), encoding="utf-8")
    entries = {f"{key.section}.1.{key.field}" for key in ENTRY_KEYS.values()}
    assert set(load(file).sources) == set(KEYS) | entries


def test_the_docs_tables_are_the_schemas() -> None:
    text = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    assert text == document(text), "run `make docs`"
    assert [name for name in LISTS if f"## `[[{name}]]`" not in text] == []
    assert [name for name in (*KEYS, *ENTRY_KEYS) if f"`{name.split('.')[1]}`" not in text] == []


def test_the_sections_are_the_tables_of_config_toml() -> None:
    assert list(tomllib.loads(reference())) == list(SECTIONS)
