# Runs in the guest as root, from the share.
exec 2>&1
export SYSTEMD_COLORS=0 SYSTEMD_PAGER=
i=0
while ! systemctl is-system-running | grep -qE 'running|degraded' && [ $i -lt 200 ]; do sleep 0.2; i=$((i + 1)); done
cd /mnt/host
install -m755 uvc_camera guest_stage /usr/local/bin/
install -m755 fieldmarkd /usr/bin/
# The shipped service, as the package installs it.
install -m644 fieldmarkd.service /etc/systemd/system/
systemd-sysusers "$PWD/sysusers.conf"
systemd-tmpfiles --create "$PWD/tmpfiles.conf"
mkdir -p /etc/systemd/system/fieldmarkd.service.d
# Under emulation a frame of a real model takes longer than any watchdog should wait.
printf '[Service]\nWatchdogSec=5min\nMemoryMax=600M\n' > /etc/systemd/system/fieldmarkd.service.d/guest.conf
systemctl daemon-reload
exec guest_stage
