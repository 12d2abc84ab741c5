#!/bin/sh
# Installs the C sources of llhttp, the HTTP parser, outside the checkout.
#
# Debian packages them as a Node module; unpacking the package by hand leaves its Node dependencies
# out. Does nothing when they are there. GNOMON_LLHTTP names the folder.
set -eu

target=${GNOMON_LLHTTP:-/usr/local/share/gnomon-llhttp}

is_complete() {
    for file in api.c http.c llhttp.c llhttp.h; do
        [ -s "$1/$file" ] || return 1
    done
}

if is_complete "$target"; then
    exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work" # apt downloads as a user of its own
cd "$work"
apt-get -q download node-llhttp || {
    apt-get -q update
    apt-get -q download node-llhttp
}
dpkg-deb -x node-llhttp_*.deb unpacked

mkdir -p "$target.new"
cp unpacked/usr/share/llhttp/*.c "$target.new/"
cp "$(find unpacked -name llhttp.h | head -n 1)" "$target.new/"
is_complete "$target.new" || {
    echo "install-llhttp: the package does not hold the files expected" >&2
    exit 1
}
rm -rf "$target"
mv "$target.new" "$target"
echo "llhttp: installed in $target"
