//! Metadata as bytes, and the signatures on them.

use std::collections::HashMap;
use std::num::NonZeroU64;

use fieldmark_models::package::Sha256Digest;
use serde::Serialize;
use tough::schema::decoded::{Decoded, Hex};
use tough::schema::{Hashes, Metafile, Role, RoleKeys, RoleType, Root, Signature, Signed, Target};

use super::chunks::ChunkIndex;
use super::quorum::{Outcome, RoleSetup};
use super::repository_error::RepositoryError;
use super::trust::CUSTOM;
use super::{RoleName, SigningKey};

pub(super) fn target(bytes: &[u8], described: &serde_json::Value, chunk: u32) -> Target {
    let index = ChunkIndex::of(bytes, chunk);
    let mut described = described.clone();
    described["chunk"] = chunk.into();
    described["chunks"] = Sha256Digest::of(&index.to_json()).to_string().into();
    Target {
        length: index.size,
        hashes: hashes(bytes),
        custom: HashMap::from([(CUSTOM.to_owned(), described)]),
        _extra: HashMap::new(),
    }
}

fn hashes(bytes: &[u8]) -> Hashes {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    Hashes { sha256: digest.as_ref().to_vec().into(), _extra: HashMap::new() }
}

pub(super) fn metafile<T: Role>(role: &Signed<T>) -> Metafile {
    let bytes = written(role);
    Metafile {
        length: Some(bytes.len() as u64),
        hashes: Some(hashes(&bytes)),
        version: role.signed.version(),
        _extra: HashMap::new(),
    }
}

/// The same role gives the same bytes: maps are written in the order of their keys.
pub(super) fn written<T: Serialize>(role: &Signed<T>) -> Vec<u8> {
    let value = serde_json::to_value(role).unwrap_or_default();
    serde_json::to_vec(&value).unwrap_or_default()
}

pub(super) fn unsigned<T>(signed: T) -> Signed<T> {
    Signed { signed, signatures: Vec::new() }
}

/// Whether the key `id` has a say in `role`, as `authority` has it.
pub(super) fn speaks_for(authority: &Root, role: RoleType, id: &Decoded<Hex>) -> bool {
    authority.roles.get(&role).is_some_and(|keys| keys.keyids.contains(id))
}

pub(super) fn add_signatures<T: Role>(authority: &Root, role: &mut Signed<T>, signers: &[SigningKey]) {
    let message = role.signed.canonical_form().unwrap_or_default();
    for key in signers {
        let id = &key.public().id;
        let signed = role.signatures.iter().any(|signature| signature.keyid == *id);
        if speaks_for(authority, T::TYPE, id) && !signed {
            role.signatures.push(Signature { keyid: id.clone(), sig: key.sign(&message).into() });
        }
    }
}

pub(super) fn lacks<T: Role>(authority: &Root, role: &Signed<T>) -> Outcome {
    let counts = |signature: &&Signature| speaks_for(authority, T::TYPE, &signature.keyid);
    let name = RoleName::ALL.into_iter().find(|name| name.kind() == T::TYPE).map_or("", RoleName::name);
    let needed = authority.roles.get(&T::TYPE).map_or(1, |keys| keys.threshold.get());
    Outcome::Lacks(name, role.signatures.iter().filter(counts).count(), needed)
}

pub(super) fn put_keys(root: &mut Root, setup: &RoleSetup) -> Result<(), RepositoryError> {
    let (role, keys) = (setup.role.name(), setup.keys.len());
    let too_few = RepositoryError::Threshold { role, keys, threshold: setup.threshold };
    let threshold = NonZeroU64::new(setup.threshold).filter(|threshold| threshold.get() <= keys as u64);
    let threshold = threshold.ok_or(too_few)?;
    for key in &setup.keys {
        root.keys.insert(key.id.clone(), key.key.clone());
    }
    let keyids = setup.keys.iter().map(|key| key.id.clone()).collect();
    root.roles.insert(setup.role.kind(), RoleKeys { keyids, threshold, _extra: HashMap::new() });
    Ok(())
}
