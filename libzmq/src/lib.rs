//! How libzmq is built for this project.
//!
//! `zmq-sys` 0.12 builds whatever `zeromq-src` 0.2 offers: libzmq 4.3.4 with an empty platform
//! header, hence without eventfd, TCP keep-alive, interface names, a fork guard or CURVE. This
//! crate takes that package's name and place (`[patch.crates-io]` in the workspace), and delegates
//! to `zeromq-src` 0.3 (libzmq 4.3.5), which takes extra defines through the compiler's flags.

// Links libsodium's own symbols out of the way: only its location is wanted here.
use libsodium_sys as _;
use std::{env, path::Path, process::Command};

/// The builder that the build script of `zmq-sys` calls.
#[derive(Debug, Default)]
pub struct Build;

/// Kept for the signature of [`Build::with_libsodium`]; `zmq-sys` passes `None`.
#[derive(Debug, Clone)]
pub struct LibLocation(());

impl Build {
    /// A builder with this project's settings; there are no others.
    pub fn new() -> Self {
        Self
    }

    /// Accepted and ignored: libsodium always comes from `libsodium-sys-stable`.
    pub fn with_libsodium(&mut self, _: Option<LibLocation>) -> &mut Self {
        self
    }

    /// Compiles libzmq into the calling build script's `OUT_DIR` and tells Cargo how to link it.
    pub fn build(&mut self) {
        let target = env::var("TARGET").expect("Cargo sets TARGET for a build script");
        let whole = optimises_whole(&target);
        let mut flags = flags(&target, whole);
        if target.contains("linux") {
            flags.push_str(&include_first(&[
                ("zmqchat_descriptors.h", include_str!("descriptors.h")),
                ("zmqchat_threads.h", include_str!("threads.h")),
            ]));
        }
        append_flags(&target, &flags);
        if target.contains("linux") {
            link_libstdcxx_statically(&target);
        }
        upstream::Build::new()
            // For ZMQ_IN_BATCH_SIZE, ZMQ_OUT_BATCH_SIZE and the monitor's second version alone.
            .enable_draft(true)
            .with_libsodium(Some(upstream::LibLocation::new(
                env!("SODIUM_LIB"),
                env!("SODIUM_INCLUDE"),
            )))
            .build();
        if whole {
            optimise_whole(&target);
        }
    }
}

/// The `#define`s that CMake's platform.hpp would hold and `zeromq-src` leaves out. Not
/// `ZMQ_HAVE_IFADDRS`: with it each TCP bind asks for the interfaces, and aborts the program when no
/// descriptor is left to ask with. Our own code finds the address of an interface.
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
            // Apple silicon has cache lines of 128 bytes; on Intel the rest is padding.
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
        // Windows: libzmq's own headers settle the rest.
        &["ZMQ_HAVE_NOEXCEPT"]
    }
}

fn flags(target: &str, whole: bool) -> String {
    let msvc = target.contains("msvc");
    let mut flags: Vec<String> = defines(target)
        .iter()
        .map(|define| format!("{}{define}", if msvc { "/D" } else { "-D" }))
        .collect();
    if !msvc {
        // Calls within libzmq need no detour through the PLT: half the cost of a send or a receive.
        flags.push("-fvisibility=hidden".into());
        flags.push("-fvisibility-inlines-hidden".into());
    }
    if whole {
        // Fat objects hold machine code as well: they serve should the second step fail.
        flags.push("-flto".into());
        flags.push("-ffat-lto-objects".into());
    }
    flags.join(" ")
}

/// The flags that include headers before each file; each header says why. The compiler finds them
/// through `CPATH`: flags are separated by blanks, which a folder's name may contain.
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

/// Whether libzmq can be optimised across its files: with GCC on Linux, in a release build.
fn optimises_whole(target: &str) -> bool {
    let gcc = || {
        let version = Command::new(compiler(target)).arg("--version").output();
        version.is_ok_and(|output| {
            String::from_utf8_lossy(&output.stdout).contains("Free Software Foundation")
        })
    };
    target.contains("linux") && env::var("OPT_LEVEL").is_ok_and(|level| level == "3") && gcc()
}

/// Makes one object of all: small functions such as `msg_t::size`, which libzmq calls from other
/// files several times a message, are then inlined. Rust's linker could not do that by itself.
/// Where it fails, the archive of single objects stays.
fn optimise_whole(target: &str) {
    let Some(folder) = env::var_os("OUT_DIR").map(|out| Path::new(&out).join("lib")) else {
        return;
    };
    let Ok(entries) = std::fs::read_dir(&folder) else {
        return;
    };
    let objects = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "o"));
    let whole = folder.join("whole.object");
    let linked = Command::new(compiler(target))
        // One partition: GCC 12 fails to part this program ("internal compiler error").
        .args(["-O3", "-fPIC", "-flto", "-flto-partition=one"])
        .args(["-flinker-output=nolto-rel", "-nostdlib", "-r"])
        .arg("-o")
        .arg(&whole)
        .args(objects)
        .status();
    let archive = folder.join("libzmq.a");
    let fresh = folder.join("fresh.a");
    let _ = std::fs::remove_file(&fresh);
    let archiver = env::var("AR").unwrap_or_else(|_| "ar".into());
    let done = linked.is_ok_and(|status| status.success())
        && Command::new(archiver)
            .arg("crs")
            .args([&fresh, &whole])
            .status()
            .is_ok_and(|status| status.success());
    if done {
        let _ = std::fs::rename(fresh, archive);
    }
}

/// Adds to whatever the user set, in the variable that the crate `cc` looks at first.
fn append_flags(target: &str, flags: &str) {
    let underscored = target.replace('-', "_");
    let candidates = [
        format!("CXXFLAGS_{target}"),
        format!("CXXFLAGS_{underscored}"),
        "TARGET_CXXFLAGS".into(),
        "CXXFLAGS".into(),
    ];
    let users = candidates.iter().find_map(|name| env::var(name).ok());
    let all = match users {
        Some(users) => format!("{users} {flags}"),
        None => flags.to_owned(),
    };
    env::set_var(&candidates[0], all);
}

/// The C++ compiler that the crate `cc` takes.
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

/// A wheel must not depend on the C++ runtime of the machine that runs it, which in a conda
/// environment may be older than the compiler's. Where there is no static one, the shared one serves.
fn link_libstdcxx_statically(target: &str) {
    println!("cargo:rerun-if-env-changed=CXX");
    if env::var_os("CXXSTDLIB").is_some() {
        return; // the user's choice
    }
    let Ok(output) = Command::new(compiler(target))
        .arg("-print-file-name=libstdc++.a")
        .output()
    else {
        return;
    };
    let printed = String::from_utf8_lossy(&output.stdout);
    let archive = Path::new(printed.trim());
    // A compiler that has no such file prints the bare name back.
    if let (true, Some(folder)) = (archive.is_absolute() && archive.exists(), archive.parent()) {
        println!("cargo:rustc-link-search=native={}", folder.display());
        env::set_var("CXXSTDLIB", "static:-bundle=stdc++");
    }
}
