//! What the service manager is told: that the daemon is ready, that it is alive, how things are.

use std::time::Duration;

use sd_notify::NotifyState;

/// A model may be loaded for as long as this: on a Jetson its engine is built when it is seen for the first time.
const ABSENCE: Duration = Duration::from_secs(1800);

fn microseconds(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

/// The service manager that started the daemon. Where none did, nothing is told and nobody asks.
#[derive(Debug, Clone, Copy)]
pub struct ServiceManager {
    listens: bool,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// The one the environment names (`NOTIFY_SOCKET`, `WATCHDOG_USEC`).
    #[must_use]
    pub fn from_environment() -> Self {
        let listens = std::env::var_os("NOTIFY_SOCKET").is_some();
        Self { listens, watchdog: sd_notify::watchdog_enabled().filter(|_| listens) }
    }

    /// Whether anybody listens.
    #[must_use]
    pub fn listens(self) -> bool {
        self.listens
    }

    /// Without a sign of life for so long the daemon is killed and started again.
    #[must_use]
    pub fn watchdog(self) -> Option<Duration> {
        self.watchdog
    }

    /// The daemon does what it is for; also ends a reload, and an [`Self::absence`].
    pub fn ready(self, status: &str) {
        let watchdog = self.watchdog.map_or(0, microseconds);
        let states = [NotifyState::Ready, NotifyState::Status(status), NotifyState::WatchdogUsec(watchdog)];
        self.tell(if self.watchdog.is_some() { &states } else { &states[..2] });
    }

    /// The daemon becomes another program, which has to load its model first: the watchdog waits until then.
    pub fn absence(self, status: &str) {
        let patience = NotifyState::WatchdogUsec(microseconds(ABSENCE));
        let states = [NotifyState::Status(status), patience];
        self.tell(if self.watchdog.is_some() { &states } else { &states[..1] });
    }

    /// A sign of life.
    pub fn alive(self) {
        self.tell(&[NotifyState::Watchdog]);
    }

    /// Not ready yet, and not stuck either: another `time` to go on is needed.
    pub fn starting(self, status: &str, time: Duration) {
        self.tell(&[NotifyState::ExtendTimeoutUsec(microseconds(time)), NotifyState::Status(status)]);
    }

    /// How things are, for `systemctl status`.
    pub fn status(self, status: &str) {
        self.tell(&[NotifyState::Status(status)]);
    }

    /// The configuration is being read again, until [`Self::ready`].
    pub fn reloading(self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            // Without the time newer managers would wait for ever; then it is not a reload to them at all.
            Err(error) => tracing::warn!("the service manager is not told of the reload: {error}"),
        }
    }

    /// The daemon stops, in order.
    pub fn stopping(self, status: &str) {
        self.tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
    }

    fn tell(self, states: &[NotifyState<'_>]) {
        if self.listens
            && let Err(error) = sd_notify::notify(states)
        {
            tracing::warn!("cannot tell the service manager: {error}");
        }
    }
}
