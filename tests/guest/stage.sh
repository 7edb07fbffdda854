# Runs in the guest as root, from the share.
exec 2>&1
export SYSTEMD_COLORS=0 SYSTEMD_PAGER=
i=0
while ! systemctl is-system-running | grep -qE 'running|degraded' && [ $i -lt 200 ]; do sleep 0.2; i=$((i + 1)); done
cd /mnt/host
install -m755 fieldmarkd uvc_camera guest_stage /usr/local/bin/
install -m644 fieldmarkd.service /etc/systemd/system/
systemctl daemon-reload
exec guest_stage
