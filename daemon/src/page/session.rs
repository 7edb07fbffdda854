//! Browsers that gave the token once. A session lives in memory: a restart of the daemon ends it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};

use super::PageError;

/// How long one lasts without being used.
pub(super) const LASTS: Duration = Duration::from_secs(12 * 3600);
/// Sessions at one time; a further one ends the one unused for longest.
const MOST: usize = 256;

/// A number nobody can guess, in hexadecimal.
pub(super) fn secret() -> Result<String, PageError> {
    let mut bytes = [0u8; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| PageError::Random)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

struct Session {
    csrf: String,
    used: Instant,
}

/// All of them.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<String, Session>>);

impl Sessions {
    /// Begins one; what its cookie holds.
    pub(super) fn begin(&self, now: Instant) -> Result<String, PageError> {
        let (id, csrf) = (secret()?, secret()?);
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, session| now.saturating_duration_since(session.used) < LASTS);
        if sessions.len() >= MOST {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.used).map(|(id, _)| id.clone());
            oldest.map(|oldest| sessions.remove(&oldest));
        }
        sessions.insert(id.clone(), Session { csrf, used: now });
        Ok(id)
    }

    /// What changes of the session `id` have to carry; `None` where there is no such session.
    pub(super) fn csrf(&self, id: &str, now: Instant) -> Option<String> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let session = sessions.get_mut(id)?;
        if now.saturating_duration_since(session.used) >= LASTS {
            sessions.remove(id);
            return None;
        }
        session.used = now;
        Some(session.csrf.clone())
    }

    /// Ends the session `id`.
    pub(super) fn end(&self, id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_lasts_while_it_is_used_and_ends_when_asked() {
        let (sessions, begin) = (Sessions::default(), Instant::now());
        let id = sessions.begin(begin).expect("random numbers");
        let nearly = LASTS - Duration::from_secs(1);
        let csrf = sessions.csrf(&id, begin + nearly);
        assert!(csrf.is_some() && sessions.csrf(&id, begin + nearly * 2) == csrf);
        assert_eq!(sessions.csrf(&id, begin + nearly * 2 + LASTS), None);
        let other = sessions.begin(begin).expect("random numbers");
        sessions.end(&other);
        assert_eq!((sessions.csrf(&other, begin), sessions.csrf("", begin)), (None, None));
    }

    #[test]
    fn there_are_never_more_than_so_many() {
        let (sessions, begin) = (Sessions::default(), Instant::now());
        let ids: Vec<_> = (0..300u64)
            .map(|second| sessions.begin(begin + Duration::from_secs(second)).expect("random numbers"))
            .collect();
        let alive = ids.iter().filter(|id| sessions.csrf(id, begin + Duration::from_secs(300)).is_some());
        assert_eq!(alive.count(), MOST);
    }
}
