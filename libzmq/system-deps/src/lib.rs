//! An empty crate in place of the real `system-deps` (`[patch.crates-io]` in the workspace).
//!
//! `zmq-sys` 0.12 lists `system-deps`, but its build script does not use it. The real crate needs
//! a TOML parser and more, which would be compiled before libzmq.
