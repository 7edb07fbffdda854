# Runs in the guest as root, from the share: the page first, then what becomes of the service.
exec 2>&1
export SYSTEMD_COLORS=0 SYSTEMD_PAGER= LANG=C
i=0
while ! systemctl is-system-running | grep -qE 'running|degraded' && [ $i -lt 200 ]; do sleep 0.2; i=$((i + 1)); done
install -m755 /mnt/host/guest_ship /usr/local/bin/
if [ "$(cat /mnt/host/boot)" = second ]; then
    exec guest_ship second
fi
# A technician is not root; the guest has nobody else. This is what sudo does on their machine.
cat > /usr/local/bin/sudo <<'SUDO'
#!/bin/sh
if [ "$1" = -u ]; then user=$2; shift 2; exec runuser -u "$user" -- "$@"; fi
exec "$@"
SUDO
chmod +x /usr/local/bin/sudo
# Emulation is some fifty times slower than any machine the times of the unit are meant for.
mkdir -p /etc/systemd/system/fieldmarkd.service.d
printf '[Unit]\nJobRunningTimeoutSec=20min\n[Service]\nWatchdogSec=10min\n' > /etc/systemd/system/fieldmarkd.service.d/emulation.conf
# A camera, as if it had been plugged in.
modprobe vivid n_devs=1
mkdir -p /home/reader && cd /home/reader
cp /mnt/host/fieldmark_*.deb /mnt/host/fieldmark-model-garden_*.deb .
echo "== following docs/install.md word for word"
sh -ex /mnt/host/reader.sh || { systemctl status fieldmarkd --no-pager; exit 1; }
echo "== it works"
systemctl disable --now fieldmarkd
dpkg -i /mnt/host/broker/*.deb > /dev/null 2>&1 || { dpkg -i /mnt/host/broker/*.deb; exit 1; }
install -m644 /mnt/host/toy.fieldmark /usr/share/fieldmark/models/
exec guest_ship
