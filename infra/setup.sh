#!/bin/sh
# Make the virtual environment: sh infra/setup.sh VENV [PYTHON]. Needs Python 3.11+ and nothing else.
set -eu
venv=$1
python=${2:-python3}
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || {
    echo "Andon needs Python 3.11 to 3.13; $python is $("$python" --version). Try: make PYTHON=python3.12 setup" >&2
    exit 1
}
if command -v uv >/dev/null 2>&1; then
    uv=uv
else
    # uv installs everything in about 20 s where pip takes minutes; it is fetched as a wheel.
    tools=${venv}-tools
    "$python" -m venv "$tools" || {
        echo "python3-venv is missing; on Debian: apt-get install python3-venv" >&2
        exit 1
    }
    "$tools/bin/pip" install -q --disable-pip-version-check uv
    uv="$tools/bin/uv"
fi
if [ ! -x "$venv/bin/python" ]; then
    build=${2:-$("$python" infra/interpreter.py)}
    echo "Python: $build ($("$build" --version)); another one: make PYTHON=... setup"
    "$uv" venv -q --python "$build" "$venv"
fi
echo "installing the pinned dependencies into $venv (torch is large: minutes on a slow line)"
"$uv" pip install --compile-bytecode --python "$venv/bin/python" -c constraints.txt -e '.[embedded,demo,lab]' --group dev
