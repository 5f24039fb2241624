#!/bin/sh
# Runs a program as in a container: container.sh ROOT USER [FILE PATH]... -- PROGRAM [ARGUMENT]...
#
# The root holds the pod's volumes; the machine's programs and devices, and each FILE at its PATH, are mounted into it.
# Runs in a mount namespace of its own, which takes the mounts away.
set -eu
root=$1 user=$2
shift 2
cd "$root"
mkdir -p etc proc tmp usr/local/bin
chmod 1777 tmp
for folder in usr/bin usr/sbin usr/lib usr/lib64 usr/share dev sys; do
    [ -d "/$folder" ] || continue
    mkdir -p "$folder"
    mount --rbind "/$folder" "$folder"
done
for link in bin sbin lib lib64; do
    ln -sfn "usr/$link" "$link"
done
cp -a /etc/passwd /etc/group /etc/nsswitch.conf /etc/alternatives etc/
mount -t proc proc proc
while [ "$1" != -- ]; do
    touch ".$2"
    mount --bind "$1" ".$2"
    shift 2
done
shift
# The kernel forgets with the change of user that this dies with its parent.
exec chroot "$root" setpriv --reuid="${user%:*}" --regid="${user#*:}" --clear-groups --pdeathsig=KILL -- "$@"
