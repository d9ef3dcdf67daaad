#!/bin/sh
# Install Andon from this folder, without a network: sh install.sh VENV [PYTHON]
#
# Every file must have the hash that SHA256SUMS names. DIGEST=... is what `andon bundle make` printed:
# the hash of SHA256SUMS itself, carried here by another way than the folder.
set -eu
machine=@MACHINE@
version=@PYTHON@
fail() {
    echo "$*" >&2
    exit 1
}
[ $# -ge 1 ] || fail "usage: sh install.sh VENV [PYTHON]"
mkdir -p "$(dirname "$1")"
venv=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
python=${2:-python$version}
cd "$(dirname "$0")"

[ "$(uname -s | tr A-Z a-z)-$(uname -m)" = "$machine" ] ||
    fail "this bundle is for $machine; the machine is $(uname -s)-$(uname -m)"
found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') ||
    fail "$python does not run: install Python $version, or name it: sh install.sh VENV PYTHON"
[ "$found" = "$version" ] || fail "this bundle is for Python $version; $python is $found"
[ ! -e "$venv" ] || fail "$venv exists already: name a new folder, so that the old one can be gone back to"

echo "verifying the hashes"
if [ -n "${DIGEST:-}" ]; then
    echo "$DIGEST  SHA256SUMS" | sha256sum -c - >/dev/null 2>&1 ||
        fail "SHA256SUMS has not the digest $DIGEST: the folder is another one"
fi
checked=$(sha256sum -c SHA256SUMS 2>&1) || {
    echo "$checked" | grep -v ': OK$' >&2
    fail "nothing was installed: copy the folder anew"
}

work=$(mktemp -d "$venv.work.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
"$python" -m zipfile -e wheels/uv-*.whl "$work"
uv=$(echo "$work"/uv-*.data/scripts/uv)
chmod +x "$uv"
# The cache stands beside the environment, so that files are linked and not copied.
UV_OFFLINE=1 UV_NO_CONFIG=1 UV_CACHE_DIR="$work/cache" UV_PYTHON_DOWNLOADS=never
export UV_OFFLINE UV_NO_CONFIG UV_CACHE_DIR UV_PYTHON_DOWNLOADS
echo "installing into $venv"
# It is made under its own name, which its programs hold; a half one does not stay.
trap 'rm -rf "$work" "$venv"' EXIT
"$uv" venv -q --python "$python" "$venv"
"$uv" pip install -q --python "$venv/bin/python" --no-index --find-links wheels --require-hashes \
    --only-binary :all: --compile-bytecode -r requirements.txt
cp -R docs "$venv/docs"
"$venv/bin/andon" --version
trap 'rm -rf "$work"' EXIT
echo "installed; what to do next: docs/install.md; units, composition and chart: infra/; experts: experts/"
