//! How often an address may ask. No clock: moments are given.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Addresses remembered; when there are more, those that have asked for longest ago begin anew.
const REMEMBERED: usize = 1024;

/// A bucket that fills by time and is emptied by requests.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

/// So many a second on average, and `burst` at once, for each address.
#[derive(Debug)]
pub(super) struct Rate {
    per_second: f64,
    burst: f64,
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

impl Rate {
    pub(super) fn new(per_second: f64, burst: f64) -> Self {
        Self { per_second, burst, buckets: Mutex::default() }
    }

    /// Takes one from the bucket of `address`; whether there was one.
    pub(super) fn allows(&self, address: IpAddr, now: Instant) -> bool {
        self.take(address, now, 1.0)
    }

    /// Whether there would be one.
    pub(super) fn would_allow(&self, address: IpAddr, now: Instant) -> bool {
        self.take(address, now, 0.0)
    }

    fn take(&self, address: IpAddr, now: Instant, cost: f64) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let address = network(address);
        if buckets.len() >= REMEMBERED && !buckets.contains_key(&address) {
            let oldest = buckets.iter().min_by_key(|(_, bucket)| bucket.at).map(|(&address, _)| address);
            oldest.map(|oldest| buckets.remove(&oldest));
        }
        let bucket = buckets.entry(address).or_insert(Bucket { left: self.burst, at: now });
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.left = (bucket.left + passed * self.per_second).min(self.burst);
        bucket.at = now;
        let allowed = bucket.left >= 1.0;
        if allowed {
            bucket.left -= cost;
        }
        allowed
    }
}

/// One network counts as one address: anybody with IPv6 has 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_then_the_rate_and_each_address_for_itself() {
        let (begin, one) = (Instant::now(), IpAddr::from([10, 0, 0, 1]));
        let rate = Rate::new(2.0, 3.0);
        let allowed = |at: u64| rate.allows(one, begin + Duration::from_millis(at));
        assert_eq!([0, 0, 0, 0].map(allowed), [true, true, true, false]);
        assert!(rate.allows(IpAddr::from([10, 0, 0, 2]), begin));
        assert_eq!([499, 500, 501, 1000].map(allowed), [false, true, false, true]);
    }

    #[test]
    fn a_whole_ipv6_network_is_one_and_memory_is_bounded() {
        let now = Instant::now();
        let rate = Rate::new(0.001, 1.0);
        let at = |high: u16, low: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, high, 0, 0, 0, 0, low));
        assert!(rate.allows(at(1, 1), now) && !rate.allows(at(1, 2), now));
        assert!((2..5000).all(|high| rate.allows(at(high, 0), now)));
        assert_eq!(rate.buckets.lock().expect("no panic").len(), REMEMBERED);
    }
}
