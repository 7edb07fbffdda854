//! Getting what was released: what is signed, and the bytes of it.

use std::time::Duration;

use tokio::time::Instant;

use super::{Parts, REPORT, Worker};
use crate::config::Repository;
use crate::publish::Phase;
use crate::publish::messages::{DesiredModel, ModelState};
use crate::release::{Listed, Release, Shelf, TrustError, Trusted};
use crate::update::feed::FeedError;
use crate::update::fetch::{FetchError, mirror_chunk, mirror_index};
use crate::update::machine::{Offer, Outcome};
use crate::update::store::{Download, StoreError};

/// Bytes asked of a mirror at one time: a server without ranges begins anew with each request.
const REQUEST: usize = 8 << 20;

impl Worker {
    /// The release as it was signed.
    pub(super) async fn listed(&mut self, release: &Release) -> Result<Listed, TrustError> {
        let now = jiff::Timestamp::now();
        let known = self.trusted.as_ref();
        if !known.is_some_and(|trusted| trusted.expires > now && trusted.find(release).is_some()) {
            self.trusted = None;
            self.trusted = Some(self.trust().await?);
        }
        let trusted = self.trusted.as_ref();
        if let Some(listed) = trusted.and_then(|trusted| trusted.find(release)) {
            return Ok(listed.clone());
        }
        match trusted.and_then(|trusted| trusted.with_digest(release.sha256)) {
            Some(listed) => Err(TrustError::Refused(format!(
                "{release} is wanted, and {} with {} bytes was signed",
                listed.release, listed.release.size
            ))),
            None => Err(TrustError::Refused(format!("{release} is wanted, and nobody has signed it"))),
        }
    }

    async fn trust(&mut self) -> Result<Trusted, TrustError> {
        let shelf = match &self.parts.config.repository {
            Repository::Broker => {
                let files = self.feed.metadata().await.map_err(|error| match error {
                    FeedError::Wrong(reason) => TrustError::Refused(reason),
                    other => TrustError::Deferred(other.to_string()),
                })?;
                Shelf::gathered(files)
            }
            Repository::Mirror(place) => {
                self.feed.wanted.released = false;
                Shelf::at(place).map_err(|error| TrustError::Deferred(error.to_string()))?
            }
        };
        self.truster.verify(&shelf, jiff::Timestamp::now()).await
    }

    pub(super) async fn download(&mut self) -> Option<Outcome> {
        let offer = self.offer()?.clone();
        let place = self.parts.ledger.path(&offer.kept());
        if place.exists() {
            return Some(Outcome::Done);
        }
        let listed = match self.listed(&offer.release).await {
            Ok(listed) => listed,
            Err(TrustError::Refused(reason)) => return Some(Outcome::Again(reason)),
            Err(error) => return Some(Outcome::Later(error.to_string())),
        };
        match self.fetch(&listed).await {
            Ok(()) => Some(Outcome::Done),
            Err(FeedError::Interrupted) => None,
            Err(FeedError::Missing(reason)) => Some(Outcome::Later(reason)),
            Err(FeedError::Wrong(reason)) => Some(Outcome::Again(reason)),
            Err(FeedError::Store(error @ (StoreError::Disk { .. } | StoreError::Full { .. }))) => {
                Some(Outcome::Later(error.to_string()))
            }
            Err(FeedError::Store(error)) => Some(Outcome::Again(error.to_string())),
        }
    }

    async fn fetch(&mut self, listed: &Listed) -> Result<(), FeedError> {
        let (folder, free) = (self.parts.ledger.store(), self.parts.config.free);
        match self.parts.config.repository.clone() {
            Repository::Broker => {
                let index = self.feed.index(listed).await?;
                let mut download = Download::open(&folder, listed, Some(index), free)?;
                let Self { feed, parts, .. } = self;
                let offer = parts.ledger.journal.offer.clone();
                let mut told = Instant::now();
                let base = progress_report(parts, offer.as_ref());
                let mut tell = |progress: f64| {
                    if told.elapsed() >= REPORT {
                        told = Instant::now();
                        (parts.report)(ModelState { progress: Some(rounded(progress)), ..base.clone() });
                    }
                };
                feed.chunks(listed.release.sha256, &mut download, &mut tell).await?;
                download.finish()?;
            }
            Repository::Mirror(place) => {
                let shelf = Shelf::at(&place).map_err(|error| FeedError::Missing(error.to_string()))?;
                let index = mirror_index(&shelf, listed).await.map_err(|error| fetched(&error))?;
                let mut download = Download::open(&folder, listed, index, free)?;
                let mut told = Instant::now();
                while let Some(run) = next_run(&download) {
                    let (begin, _) = download.place(run.start);
                    let length: usize = run.clone().map(|number| download.place(number).1).sum();
                    let bytes =
                        mirror_chunk(&shelf, listed, begin, length).await.map_err(|error| fetched(&error))?;
                    let mut rest = &bytes[..];
                    for number in run {
                        let (chunk, after) = rest.split_at(download.place(number).1.min(rest.len()));
                        download.keep(number, chunk)?;
                        rest = after;
                    }
                    if told.elapsed() >= REPORT {
                        told = Instant::now();
                        self.progress = Some(rounded(download.progress()));
                        self.report();
                        self.feed.wait(Duration::ZERO).await;
                        if self.feed.wanted.changed {
                            download.sync()?;
                            return Err(FeedError::Interrupted);
                        }
                    }
                }
                download.finish()?;
            }
        }
        Ok(())
    }
}

/// Chunks that are missing one after the other, as many as one request is worth.
fn next_run(download: &Download) -> Option<std::ops::Range<usize>> {
    let mut missing = download.missing();
    let first = missing.next()?;
    let (mut end, mut bytes) = (first + 1, download.place(first).1);
    for number in missing {
        bytes += download.place(number).1;
        if number != end || bytes > REQUEST {
            break;
        }
        end += 1;
    }
    Some(first..end)
}

fn progress_report(parts: &Parts, offer: Option<&Offer>) -> ModelState {
    ModelState {
        group: Some(parts.config.group.clone()),
        rollout: offer.map(|offer| offer.rollout.clone()),
        desired: offer.map(|offer| DesiredModel {
            name: offer.release.name.clone(),
            version: offer.release.version.to_string(),
            sha256: offer.release.sha256,
            size: offer.release.size,
        }),
        ..ModelState::idle(parts.identity.clone(), Phase::Downloading)
    }
}

fn fetched(error: &FetchError) -> FeedError {
    match error {
        FetchError::Missing { .. } => FeedError::Missing(error.to_string()),
        FetchError::Wrong { .. } => FeedError::Wrong(error.to_string()),
    }
}

fn rounded(share: f64) -> f64 {
    (share * 1000.0).round() / 1000.0
}
