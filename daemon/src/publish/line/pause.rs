//! Waits between attempts to connect.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

const LONGEST: Duration = Duration::from_secs(30);

/// Half a second to half a minute, with jitter so that a fleet does not come at once.
pub(super) struct Pauses(ExponentialBackoff);

impl Pauses {
    pub(super) fn new() -> Self {
        Self(
            ExponentialBuilder::new()
                .with_min_delay(Duration::from_millis(500))
                .with_max_delay(LONGEST)
                .without_max_times()
                .with_jitter()
                .build(),
        )
    }

    pub(super) async fn wait(&mut self) {
        tokio::time::sleep(self.0.next().unwrap_or(LONGEST)).await;
    }
}

/// What went wrong, with advice where there is some.
pub(super) fn advised(error: &str, refused_credentials: bool, input_output: bool) -> String {
    if refused_credentials {
        format!("{error} (check mqtt.username and mqtt.password_file)")
    } else if input_output {
        format!("{error} (is it running, and is mqtt.url right?)")
    } else {
        error.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_half_a_minute_never_end_and_differ_from_node_to_node() {
        let some = || Pauses::new().0.take(50).collect::<Vec<_>>();
        let (one, other) = (some(), some());
        assert_eq!(one.len(), 50);
        assert!(one[0] >= Duration::from_millis(500) && one[0] <= Duration::from_secs(1), "{:?}", one[0]);
        assert!(one[20..].iter().all(|pause| (LONGEST..=2 * LONGEST).contains(pause)), "{one:?}");
        assert_ne!(one, other);
    }
}
