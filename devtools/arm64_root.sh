#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# arm64_root.sh ROOT PACKAGE...: unpacks these Debian packages for arm64, with all that they depend
# on, into the folder ROOT, which is replaced. They come from this machine's sources of packages.
#
# Nothing is installed: apt-get has folders of its own below ROOT, and this machine's dpkg knows of no
# second architecture. No right of root is needed.

set -eu

root=$1
shift
new=$root.new
apt=$new/apt

rm -rf "$new"
mkdir -p "$apt/lists/partial" "$apt/archives/partial"
: >"$apt/status"
cat >"$apt/apt.conf" <<END
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Keep-Downloaded-Packages "true";
Dir::State "$apt";
Dir::State::status "$apt/status";
Dir::Cache "$apt";
END
export APT_CONFIG="$apt/apt.conf"
apt-get -q update
apt-get -q install --download-only -y --no-install-recommends "$@"

# Links as on a whole system, where programs look for their loader in /lib.
for folder in bin lib sbin; do
    mkdir -p "$new/usr/$folder"
    ln -s "usr/$folder" "$new/$folder"
done
for package in "$apt"/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C "$new"
done
rm -rf "$apt" "$root"
mv "$new" "$root"
