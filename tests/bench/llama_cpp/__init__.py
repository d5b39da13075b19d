"""rwkv-server beside llama.cpp: the same random weights, the same machine, round by round.

llama.cpp and its tools are built from the source distribution of llama-cpp-python:

    pip download --no-deps --no-binary :all: llama-cpp-python==0.3.36
    tar xf llama_cpp_python-0.3.36.tar.gz
    cmake -S llama_cpp_python-0.3.36/vendor/llama.cpp -B BUILD -DCMAKE_BUILD_TYPE=Release \\
        -DGGML_NATIVE=ON -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF
    cmake --build BUILD --target llama-bench llama-batched-bench llama-quantize llama-server

Then, in a folder with a gigabyte of room for 0.1b and three for 0.4b:

    python -m tests.bench.llama_cpp.weights 0.1b FOLDER --quantize BUILD/bin/llama-quantize --exact
    python -m tests.bench.llama_cpp.agree FOLDER/0.1b --llama BUILD/bin
    python -m tests.bench.llama_cpp.table FOLDER --llama BUILD/bin --save figures.jsonl

weights.py makes the files, agree.py proves that both programs compute the same model from them,
table.py measures and prints; part.py is one part of that for one size, ours.py and theirs.py are
how each side is measured, and bandwidth.c is what both could reach. Nothing here is a test, and no
test needs llama.cpp.
"""
