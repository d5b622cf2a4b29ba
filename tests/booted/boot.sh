#!/bin/bash
# Boot a real systemd in namespaces of its own, over an overlay of this machine's root: nothing that it or the
# tests write outlives it. Its network is a loopback device only.
# usage: boot.sh DIRECTORY PYTHON PACKAGES   (as root)
#   DIRECTORY  scratch; inside at /opt/shared
#   PYTHON     the prefix of a Python, inside at /opt/python
#   PACKAGES   a site-packages, inside at /opt/packages
# It writes `booting` to standard output; the systemd is the only child of this process, and ends with it.
set -e
export BASE PYTHON=$2 PACKAGES=$3
BASE=$(realpath "$1")
exec unshare --pid --mount --net --fork --cgroup --uts --ipc --kill-child bash -e -c '
mount --make-rprivate /
M=$BASE/overlay; R=$M/root
mkdir -p "$M"
mount -t tmpfs -o size=1g tmpfs "$M"
mkdir "$M/upper" "$M/work" "$R"
mount -t overlay overlay -o lowerdir=/,upperdir="$M/upper",workdir="$M/work" "$R"
ip link set lo up
mount -t proc proc "$R/proc"
mount -t sysfs sysfs "$R/sys"
mount -t cgroup2 cgroup2 "$R/sys/fs/cgroup"
mount -t tmpfs tmpfs "$R/dev" -o mode=755
for each in null zero full random urandom tty; do
    touch "$R/dev/$each"
    mount --bind "/dev/$each" "$R/dev/$each"
done
ln -s /proc/self/fd "$R/dev/fd"
mkdir "$R/dev/pts" "$R/dev/shm"
mount -t devpts devpts "$R/dev/pts" -o newinstance,ptmxmode=0666,mode=620
ln -s pts/ptmx "$R/dev/ptmx"
mount -t tmpfs tmpfs "$R/dev/shm"
touch "$R/dev/console"
mount -t tmpfs tmpfs "$R/run" -o mode=755
mount -t tmpfs tmpfs "$R/tmp" -o mode=1777
for pair in "$BASE:/opt/shared" "$PYTHON:/opt/python" "$PACKAGES:/opt/packages"; do
    mkdir -p "$R${pair#*:}"
    mount --bind "${pair%%:*}" "$R${pair#*:}"
done
# A container may forbid packages to start services; a machine does not.
rm -f "$R/usr/sbin/policy-rc.d"
# A libpython that its Python looks for in a home, which services do not see.
echo /opt/python/lib >"$R/etc/ld.so.conf.d/000-python.conf"
chroot "$R" /sbin/ldconfig
rm -f "$R/etc/machine-id"
systemd-id128 new >"$R/etc/machine-id"
# What a machine with hardware needs, and what other packages start.
for each in systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udev-trigger.service \
    systemd-remount-fs.service systemd-modules-load.service systemd-sysctl.service systemd-pstore.service \
    systemd-timesyncd.service systemd-networkd.service systemd-resolved.service \
    dev-hugepages.mount sys-kernel-debug.mount sys-kernel-tracing.mount; do
    ln -sf /dev/null "$R/etc/systemd/system/$each"
done
printf "%s\n" "[Unit]" "Requires=basic.target" "Wants=dbus.service systemd-logind.service network-online.target" \
    "After=basic.target dbus.service systemd-logind.service" "AllowIsolate=yes" >"$R/etc/systemd/system/tests.target"
cd "$R"
mkdir -p old
pivot_root . old
umount -l old
# As container managers do: systemd mounts credentials in a namespace from which they must get here.
mount --make-rshared /
echo booting
exec env -i container=tests PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=tests.target \
    --log-target=journal-or-kmsg --show-status=no
'
