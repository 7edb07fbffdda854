//! The fieldmark daemon, front to back as the data walks: [`config`] says which cameras there are, [`capture`]
//! gives their frames, a [`gate`] passes over those in which nothing happens, [`region`] says which parts of them are
//! looked at, [`engine`] runs the model of a package on those, [`decide`] reads off how specific the answer may be,
//! [`position`] says where on the ground that was, [`track`] follows an organism over frames and tiles, [`alert`] finds
//! what somebody waits for, [`publish`] gets it to a broker; a [`flight`] is logged, and a recorded survey
//! [`export`]ed. [`command`] is what people ask a running node to do. [`observe`] is what the daemon sees of itself,
//! [`page`] shows it to a browser and to Prometheus. [`service`] wires the stages to
//! threads, [`cli`] to people.
//!
//! The frame path (capture, engine, decision) runs on threads of its own and never waits for the network.
#![deny(unsafe_code)]

pub mod alert;
pub mod capture;
pub mod cli;
pub mod command;
pub mod config;
pub mod decide;
pub mod engine;
pub mod export;
pub mod flight;
pub mod gate;
pub mod observe;
pub mod page;
pub mod position;
pub mod publish;
pub mod region;
pub mod release;
pub mod rollout;
pub mod service;
pub mod track;
pub mod update;
