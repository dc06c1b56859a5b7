//! Builds libzmq 4.3.5 with CURVE for `zmq-sys`.
//!
//! `zmq-sys` 0.12 calls the builder of `zeromq-src` 0.2. That builds libzmq 4.3.4 with an empty
//! platform header, hence without eventfd, TCP keep-alive, interface names, a fork guard or CURVE.
//! This crate replaces that package (`[patch.crates-io]` in the workspace). It calls the builder of
//! `zeromq-src` 0.3 (libzmq 4.3.5) and passes the missing definitions in the compiler's flags.

mod sodium;

use std::{env, path::Path, process::Command};

/// The builder for the build script of `zmq-sys`.
#[derive(Debug, Default)]
pub struct Build;

/// For the signature of [`Build::with_libsodium`]; `zmq-sys` passes `None`.
#[derive(Debug, Clone)]
pub struct LibLocation(());

impl Build {
    /// A builder with this project's settings.
    pub fn new() -> Self {
        Self
    }

    /// Has no effect: libzmq always uses the libsodium of this crate.
    pub fn with_libsodium(&mut self, _: Option<LibLocation>) -> &mut Self {
        self
    }

    /// Compiles libzmq into the calling build script's `OUT_DIR` and tells Cargo how to link it.
    pub fn build(&mut self) {
        let target = env::var("TARGET").expect("Cargo sets TARGET for a build script");
        let mut flags = flags(&target);
        if target.contains("linux") {
            flags.push_str(&include_first(&[
                ("zmqchat_descriptors.h", include_str!("descriptors.h")),
                ("zmqchat_threads.h", include_str!("threads.h")),
            ]));
            link_libstdcxx_statically(&target);
        }
        let sodium = sodium::compile();
        let users = users_flags(&target);
        // Slim objects contain no machine code: it is generated once, by `merge_objects`.
        let merged = supports_merging(&target) && {
            let slim = format!("{flags} -flto -fno-fat-lto-objects");
            set_flags(&target, &users, &slim);
            compile(&sodium);
            merge_objects(&target)
        };
        if !merged {
            set_flags(&target, &users, &flags);
            compile(&sodium);
        }
    }
}

fn compile(sodium: &upstream::LibLocation) {
    upstream::Build::new()
        // Only for ZMQ_IN_BATCH_SIZE, ZMQ_OUT_BATCH_SIZE and version 2 of the monitor.
        .enable_draft(true)
        .with_libsodium(Some(sodium.clone()))
        .build();
}

/// The definitions that are in platform.hpp after a CMake build, and that `zeromq-src` omits.
///
/// `ZMQ_HAVE_IFADDRS` is omitted on purpose. With it, each TCP bind lists the interfaces, and
/// aborts the process when no descriptor is left. This project resolves interface names itself.
fn defines(target: &str) -> &'static [&'static str] {
    if target.contains("linux") {
        &[
            "HAVE_ACCEPT4",
            "HAVE_CLOCK_GETTIME",
            "HAVE_FORK",
            "HAVE_IF_NAMETOINDEX",
            "HAVE_MKDTEMP",
            "HAVE_POSIX_MEMALIGN=1",
            "ZMQ_CACHELINE_SIZE=64",
            "ZMQ_HAVE_BUSY_POLL",
            "ZMQ_HAVE_EVENTFD",
            "ZMQ_HAVE_EVENTFD_CLOEXEC",
            "ZMQ_HAVE_NOEXCEPT",
            "ZMQ_HAVE_O_CLOEXEC",
            "ZMQ_HAVE_PTHREAD_SETNAME_2",
            "ZMQ_HAVE_PTHREAD_SET_AFFINITY",
            "ZMQ_HAVE_SOCK_CLOEXEC",
            "ZMQ_HAVE_SO_BINDTODEVICE",
            "ZMQ_HAVE_SO_KEEPALIVE",
            "ZMQ_HAVE_SO_PEERCRED",
            "ZMQ_HAVE_SO_PRIORITY",
            "ZMQ_HAVE_TCP_KEEPCNT",
            "ZMQ_HAVE_TCP_KEEPIDLE",
            "ZMQ_HAVE_TCP_KEEPINTVL",
            "ZMQ_IOTHREAD_POLLER_USE_EPOLL_CLOEXEC",
        ]
    } else if target.contains("apple") {
        &[
            "HAVE_CLOCK_GETTIME",
            "HAVE_FORK",
            "HAVE_IF_NAMETOINDEX",
            "HAVE_MKDTEMP",
            "HAVE_POSIX_MEMALIGN=1",
            // For Apple silicon; Intel's cache lines have 64 bytes.
            "ZMQ_CACHELINE_SIZE=128",
            "ZMQ_HAVE_LOCAL_PEERCRED",
            "ZMQ_HAVE_NOEXCEPT",
            "ZMQ_HAVE_O_CLOEXEC",
            "ZMQ_HAVE_PTHREAD_SETNAME_1",
            "ZMQ_HAVE_SO_KEEPALIVE",
            "ZMQ_HAVE_TCP_KEEPALIVE",
            "ZMQ_HAVE_TCP_KEEPCNT",
            "ZMQ_HAVE_TCP_KEEPINTVL",
        ]
    } else {
        // Windows: libzmq's own headers contain the other definitions.
        &["ZMQ_HAVE_NOEXCEPT"]
    }
}

fn flags(target: &str) -> String {
    let msvc = target.contains("msvc");
    let mut flags: Vec<String> = defines(target)
        .iter()
        .map(|define| format!("{}{define}", if msvc { "/D" } else { "-D" }))
        .collect();
    if !msvc {
        // Calls inside libzmq then avoid the PLT, which halves the cost of a send or a receive.
        flags.push("-fvisibility=hidden".into());
        flags.push("-fvisibility-inlines-hidden".into());
    }
    flags.join(" ")
}

/// The flags that include these headers before each file.
///
/// Adds the folder of the headers to `CPATH`, because a path in the flags must not contain a space.
fn include_first(headers: &[(&str, &str)]) -> String {
    let folder =
        Path::new(&env::var_os("OUT_DIR").expect("Cargo sets OUT_DIR")).join("included-first");
    std::fs::create_dir_all(&folder).expect("OUT_DIR can be written to");
    for (name, text) in headers {
        std::fs::write(folder.join(name), text).expect("OUT_DIR can be written to");
    }
    let known = env::var_os("CPATH");
    let folders = std::iter::once(folder).chain(known.iter().flat_map(env::split_paths));
    let path = env::join_paths(folders).expect("a folder of a build has no colon in its name");
    env::set_var("CPATH", path);
    let flags = headers.iter().map(|(name, _)| format!(" -include {name}"));
    flags.collect()
}

/// Whether `merge_objects` can work: with GCC on Linux, in a release build.
fn supports_merging(target: &str) -> bool {
    let gcc = || {
        let version = Command::new(compiler(target)).arg("--version").output();
        version.is_ok_and(|output| {
            String::from_utf8_lossy(&output.stdout).contains("Free Software Foundation")
        })
    };
    target.contains("linux") && env::var("OPT_LEVEL").is_ok_and(|level| level == "3") && gcc()
}

/// Optimises libzmq across its files, and replaces its archive by one with a single object.
///
/// Small functions such as `msg_t::size`, which other files call several times a message, are then
/// inlined. Returns false if this fails: the archive then contains no machine code.
fn merge_objects(target: &str) -> bool {
    let Some(folder) = env::var_os("OUT_DIR").map(|out| Path::new(&out).join("lib")) else {
        return false;
    };
    let Ok(entries) = std::fs::read_dir(&folder) else {
        return false;
    };
    let objects = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "o"));
    let merged = folder.join("merged.object");
    let linked = Command::new(compiler(target))
        // With several partitions, GCC 12 fails on this program ("internal compiler error").
        .args(["-O3", "-fPIC", "-flto", "-flto-partition=one"])
        .args(["-flinker-output=nolto-rel", "-nostdlib", "-r"])
        .arg("-o")
        .arg(&merged)
        .args(objects)
        .status();
    let archive = folder.join("libzmq.a");
    let fresh = folder.join("fresh.a");
    let _ = std::fs::remove_file(&fresh);
    let archiver = env::var("AR").unwrap_or_else(|_| "ar".into());
    let done = linked.is_ok_and(|status| status.success())
        && Command::new(archiver)
            .arg("crs")
            .args([&fresh, &merged])
            .status()
            .is_ok_and(|status| status.success());
    done && std::fs::rename(fresh, archive).is_ok()
}

/// The variables for the compiler's flags, in the order of precedence in the crate `cc`.
fn flag_variables(target: &str) -> [String; 4] {
    let underscored = target.replace('-', "_");
    [
        format!("CXXFLAGS_{target}"),
        format!("CXXFLAGS_{underscored}"),
        "TARGET_CXXFLAGS".into(),
        "CXXFLAGS".into(),
    ]
}

/// The flags that the user set.
fn users_flags(target: &str) -> String {
    let variables = flag_variables(target);
    let set = variables.iter().find_map(|name| env::var(name).ok());
    set.unwrap_or_default()
}

/// Adds `flags` to the user's, in the variable that takes precedence.
fn set_flags(target: &str, users: &str, flags: &str) {
    let [first, ..] = flag_variables(target);
    env::set_var(first, format!("{users} {flags}"));
}

/// The C++ compiler that the crate `cc` uses.
fn compiler(target: &str) -> String {
    [
        format!("CXX_{target}"),
        format!("CXX_{}", target.replace('-', "_")),
        "TARGET_CXX".into(),
        "CXX".into(),
    ]
    .iter()
    .find_map(|name| env::var(name).ok())
    .unwrap_or_else(|| "c++".into())
}

/// Links the C++ runtime into the wheel, if the compiler has a static one.
///
/// A shared runtime on the user's machine may be older than the compiler's, e.g. in conda.
fn link_libstdcxx_statically(target: &str) {
    println!("cargo:rerun-if-env-changed=CXX");
    if env::var_os("CXXSTDLIB").is_some() {
        return; // The user has chosen a runtime.
    }
    let Ok(output) = Command::new(compiler(target))
        .arg("-print-file-name=libstdc++.a")
        .output()
    else {
        return;
    };
    let printed = String::from_utf8_lossy(&output.stdout);
    let archive = Path::new(printed.trim());
    // A compiler without this file prints only its name.
    if let (true, Some(folder)) = (archive.is_absolute() && archive.exists(), archive.parent()) {
        println!("cargo:rustc-link-search=native={}", folder.display());
        // Printed here and not by the crate `cc`, which may run twice: rustc rejects it twice.
        println!("cargo:rustc-link-lib=static:-bundle=stdc++");
        env::set_var("CXXSTDLIB", "");
    }
}
