"""Small talk and identity: greetings, thanks, moods, who the model is and what it can do."""

from models.gosling.dialogues import values
from models.gosling.dialogues.draw import Draw
from models.gosling.dialogues.messages import Exchange, turn
from models.gosling.dialogues.phrases import choose
from models.gosling.dialogues.surface import Tone, render, say
from models.gosling.dialogues.vocabulary import entries
from models.gosling.dialogues.wording import plural

ABILITY = "talk"
IDENTITY = "identity"
WHO = (
    "I am Gosling, a small RWKV-7 demo model that comes with rwkv-server. "
    "I fit in a few megabytes and remember what you tell me."
)
CAN = (
    "I can remember facts and lists, add and subtract numbers, count, spell and reverse words, "
    "answer as JSON and call tools. For anything else, load a bigger RWKV checkpoint."
)
ANSWERS = {
    "hello": "Hello! How can I help you?",
    "how": "I am fine, thank you. How can I help you?",
    "thanks": "You are welcome!",
    "bye": "Goodbye!",
    "praise": "Thank you!",
    "blame": "I am sorry. I am only a small demo model.",
    "glad": "I am glad to hear that.",
    "sad": "I am sorry to hear that.",
    "weather": "I hope you have a nice day.",
    "okay": "Okay.",
    "there": "Yes, I am here.",
    "news": "I see. Thank you for telling me.",
}
SECTIONS = (
    "hello", "hello", "how", "how", "thanks", "thanks", "bye", "praise", "praise", "praise",
    "blame", "blame", "blame", "glad", "glad", "glad", "sad", "sad", "weather", "okay", "okay",
    "okay", "okay", "there", "there", "there", "news", "news", "news", "foreign", "who", "who",
    "can", "can",
)  # fmt: skip
GREETINGS = (
    ("Hallo", "Guten Tag", "Guten Morgen", "Guten Abend", "Servus", "Moin"),
    ("Bonjour", "Salut", "Bonsoir", "Coucou"),
    ("Hola", "Buenos días", "Buenas tardes", "Buenas noches"),
    ("Ciao", "Buongiorno", "Buonasera", "Salve"),
    ("Olá", "Bom dia", "Boa tarde", "Boa noite", "Oi"),
    ("Goedendag", "Goedemorgen", "Hoi", "Dag"),
    ("Hej", "God morgon", "God dag", "Hejsan"),
    ("Hei", "God kveld", "Heisann"),
    ("Moi", "Terve", "Hyvää päivää", "Hyvää huomenta"),
    ("Cześć", "Dzień dobry", "Dobry wieczór", "Witaj"),
    ("Ahoj", "Dobrý den", "Dobré ráno"),
    ("Привет", "Здравствуйте", "Добрый день", "Доброе утро"),
    ("Привіт", "Добрий день", "Вітаю"),
    ("Γεια σου", "Καλημέρα", "Καλησπέρα"),
    ("Merhaba", "Selam", "Günaydın", "İyi günler"),
    ("مرحبا", "السلام عليكم", "صباح الخير"),
    ("שלום", "בוקר טוב"),
    ("नमस्ते", "नमस्कार"),
    ("你好", "您好", "早上好", "大家好"),
    ("こんにちは", "おはよう", "こんばんは"),
    ("안녕하세요", "안녕"),
    ("Xin chào", "Chào bạn"),
    ("Jambo", "Habari"),
    ("Szia", "Jó napot", "Jó reggelt"),
    ("Bună", "Bună ziua"),
    ("Salam", "Salaam"),
    ("Sawubona",),
    ("Aloha",),
    ("Dia dhuit",),
    ("Saluton",),
)


def foreign(d: Draw) -> Exchange:
    """A greeting in another language, returned in that language."""
    language = d.pick(GREETINGS)
    greeting, mark = d.pick(language), d.pick(("", "", "!", ".", " !", "!!"))
    text = greeting.lower() if d.chance(0.2) else greeting
    return turn(ABILITY, text + mark, f"{language[0]}!", language[0])


def question(d: Draw, section: str | None = None, persona: str = "") -> Exchange:
    """One piece of small talk; with a persona, its name answers who it is."""
    section = section or d.pick(SECTIONS)
    if section == "foreign":
        return foreign(d)
    if section == "who":
        return who(d, persona)
    if section == "can":
        return turn(IDENTITY, say(d, "can"), CAN, CAN)
    filled = news(d) if section == "news" else {}
    text = render(d, choose(d, section), filled, tone=Tone.CHAT)
    return turn(ABILITY, text, ANSWERS[section], ANSWERS[section])


def news(d: Draw) -> dict[str, str]:
    noun = d.pick(entries("nouns"))
    return {
        "noun": noun,
        "nouns": plural(noun),
        "adj": d.pick(entries("adjectives")),
        "food": values.listed(d, "foods"),
        "name": values.name(d),
    }


def who(d: Draw, persona: str) -> Exchange:
    if not persona:
        return turn(IDENTITY, say(d, "who"), WHO, "Gosling")
    return turn(IDENTITY, say(d, "who.name"), f"My name is {persona}.", persona)
