# Becomes a command on a host: in the host's network namespace already, and in mount and UTS namespaces of its own.
set -eu
root=$1 shared=$2 name=$3 user=$4 mode=$5 files=$6 directory=$7 state=$8 runtime=$9
shift 9
echo "$name" >/proc/sys/kernel/hostname
# What the real machine's kernel offers (a clock, say) is not the host's.
mount -t tmpfs none /sys/module
mount --bind "$shared/local" /usr/local
mount --bind "$root/etc" /etc
mount --bind "$shared/hosts" /etc/hosts
mount --bind "$root/lib" /var/lib
mount --bind "$root/run" /run
for part in $state; do install -d -m "$mode" -o "$user" -g "$user" "/var/lib/$part"; done
for part in $runtime; do install -d "/run/$part"; done
cd "$directory"
# Where the machine allows fewer files, as many as it allows.
ulimit -n "$files" 2>/dev/null || ulimit -n "$(ulimit -Hn)"
[ "$user" = root ] || set -- setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs "$@"
exec "$@"
