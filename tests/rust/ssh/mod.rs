//! The native SSH transport against real servers, and the tests' own sshd.

mod ahead;
mod auth;
mod config_cases;
mod config_oracle;
mod connect;
mod descriptors;
mod given_up;
mod greetings;
mod harness;
mod known_hosts;
mod many;
mod options;
mod peers;
mod recording;
mod restart;
mod restrictions;
mod round_trips;
mod routes;
mod silence;
mod spec_options;
mod tokens;
