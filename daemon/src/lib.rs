//! The fieldmark daemon, front to back as the data walks: [`config`] says which cameras there are, [`capture`]
//! gives their frames, a [`gate`] passes over those in which nothing happens, [`engine`] runs the model of a package on them, [`decide`] reads off how specific the
//! answer may be, [`track`] follows an organism over frames, [`alert`] finds what somebody waits for, [`publish`]
//! gets it to a broker. [`command`] is what people ask a running node to do. [`observe`] is what the daemon sees of itself,
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
pub mod gate;
pub mod observe;
pub mod page;
pub mod publish;
pub mod release;
pub mod rollout;
pub mod service;
pub mod track;
pub mod update;
