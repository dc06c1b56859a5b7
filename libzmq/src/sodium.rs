//! Compiles the part of libsodium that libzmq uses for CURVE and for random numbers.
//!
//! libsodium's own build runs a configure script and compiles every algorithm. It takes as long as
//! libzmq's, and needs a Unix shell and `make`. `config.h` replaces the script. The sources are
//! embedded in this crate, so that a build script works after the checkout has moved.

use std::{env, fs, path::Path};

macro_rules! files {
    ($folder:literal: $($path:literal)*) => {
        &[$(($path, include_str!(concat!($folder, $path)))),*]
    };
}

/// Unchanged files of libsodium's release; `libsodium/README.md` says which.
const RELEASE: &[(&str, &str)] = files! { "../libsodium/":
    "builds/msvc/version.h"
    "src/libsodium/crypto_box/crypto_box.c"
    "src/libsodium/crypto_box/crypto_box_easy.c"
    "src/libsodium/crypto_box/curve25519xsalsa20poly1305/box_curve25519xsalsa20poly1305.c"
    "src/libsodium/crypto_core/ed25519/ref10/ed25519_ref10.c"
    "src/libsodium/crypto_core/ed25519/ref10/fe_25_5/base.h"
    "src/libsodium/crypto_core/ed25519/ref10/fe_25_5/base2.h"
    "src/libsodium/crypto_core/ed25519/ref10/fe_25_5/constants.h"
    "src/libsodium/crypto_core/ed25519/ref10/fe_25_5/fe.h"
    "src/libsodium/crypto_core/ed25519/ref10/fe_51/base.h"
    "src/libsodium/crypto_core/ed25519/ref10/fe_51/base2.h"
    "src/libsodium/crypto_core/ed25519/ref10/fe_51/constants.h"
    "src/libsodium/crypto_core/ed25519/ref10/fe_51/fe.h"
    "src/libsodium/crypto_core/ed25519/ref10/safegcd.h"
    "src/libsodium/crypto_core/hsalsa20/core_hsalsa20.c"
    "src/libsodium/crypto_core/hsalsa20/ref2/core_hsalsa20_ref2.c"
    "src/libsodium/crypto_core/salsa/ref/core_salsa_ref.c"
    "src/libsodium/crypto_hash/sha512/cp/hash_sha512_cp.c"
    "src/libsodium/crypto_hash/sha512/hash_sha512.c"
    "src/libsodium/crypto_onetimeauth/poly1305/donna/poly1305_donna.c"
    "src/libsodium/crypto_onetimeauth/poly1305/donna/poly1305_donna.h"
    "src/libsodium/crypto_onetimeauth/poly1305/donna/poly1305_donna32.h"
    "src/libsodium/crypto_onetimeauth/poly1305/donna/poly1305_donna64.h"
    "src/libsodium/crypto_onetimeauth/poly1305/onetimeauth_poly1305.c"
    "src/libsodium/crypto_onetimeauth/poly1305/onetimeauth_poly1305.h"
    "src/libsodium/crypto_onetimeauth/poly1305/sse2/poly1305_sse2.c"
    "src/libsodium/crypto_onetimeauth/poly1305/sse2/poly1305_sse2.h"
    "src/libsodium/crypto_scalarmult/crypto_scalarmult.c"
    "src/libsodium/crypto_scalarmult/curve25519/ref10/x25519_ref10.c"
    "src/libsodium/crypto_scalarmult/curve25519/ref10/x25519_ref10.h"
    "src/libsodium/crypto_scalarmult/curve25519/scalarmult_curve25519.c"
    "src/libsodium/crypto_scalarmult/curve25519/scalarmult_curve25519.h"
    "src/libsodium/crypto_secretbox/crypto_secretbox.c"
    "src/libsodium/crypto_secretbox/crypto_secretbox_easy.c"
    "src/libsodium/crypto_secretbox/xsalsa20poly1305/secretbox_xsalsa20poly1305.c"
    "src/libsodium/crypto_stream/salsa20/ref/salsa20_ref.c"
    "src/libsodium/crypto_stream/salsa20/ref/salsa20_ref.h"
    "src/libsodium/crypto_stream/salsa20/stream_salsa20.c"
    "src/libsodium/crypto_stream/salsa20/stream_salsa20.h"
    "src/libsodium/crypto_stream/salsa20/xmm6int/salsa20_xmm6int-avx2.c"
    "src/libsodium/crypto_stream/salsa20/xmm6int/salsa20_xmm6int-avx2.h"
    "src/libsodium/crypto_stream/salsa20/xmm6int/salsa20_xmm6int-avx512.c"
    "src/libsodium/crypto_stream/salsa20/xmm6int/salsa20_xmm6int-avx512.h"
    "src/libsodium/crypto_stream/salsa20/xmm6int/salsa20_xmm6int-sse2.c"
    "src/libsodium/crypto_stream/salsa20/xmm6int/salsa20_xmm6int-sse2.h"
    "src/libsodium/crypto_stream/salsa20/xmm6int/u0.h"
    "src/libsodium/crypto_stream/salsa20/xmm6int/u1.h"
    "src/libsodium/crypto_stream/salsa20/xmm6int/u16.h"
    "src/libsodium/crypto_stream/salsa20/xmm6int/u4.h"
    "src/libsodium/crypto_stream/salsa20/xmm6int/u8.h"
    "src/libsodium/crypto_stream/xsalsa20/stream_xsalsa20.c"
    "src/libsodium/crypto_verify/verify.c"
    "src/libsodium/include/sodium/core.h"
    "src/libsodium/include/sodium/crypto_box.h"
    "src/libsodium/include/sodium/crypto_box_curve25519xsalsa20poly1305.h"
    "src/libsodium/include/sodium/crypto_core_hsalsa20.h"
    "src/libsodium/include/sodium/crypto_core_salsa20.h"
    "src/libsodium/include/sodium/crypto_core_salsa2012.h"
    "src/libsodium/include/sodium/crypto_core_salsa208.h"
    "src/libsodium/include/sodium/crypto_generichash.h"
    "src/libsodium/include/sodium/crypto_generichash_blake2b.h"
    "src/libsodium/include/sodium/crypto_hash_sha512.h"
    "src/libsodium/include/sodium/crypto_onetimeauth.h"
    "src/libsodium/include/sodium/crypto_onetimeauth_poly1305.h"
    "src/libsodium/include/sodium/crypto_scalarmult.h"
    "src/libsodium/include/sodium/crypto_scalarmult_curve25519.h"
    "src/libsodium/include/sodium/crypto_secretbox.h"
    "src/libsodium/include/sodium/crypto_secretbox_xsalsa20poly1305.h"
    "src/libsodium/include/sodium/crypto_stream_chacha20.h"
    "src/libsodium/include/sodium/crypto_stream_salsa20.h"
    "src/libsodium/include/sodium/crypto_stream_xsalsa20.h"
    "src/libsodium/include/sodium/crypto_verify_16.h"
    "src/libsodium/include/sodium/crypto_verify_32.h"
    "src/libsodium/include/sodium/crypto_verify_64.h"
    "src/libsodium/include/sodium/export.h"
    "src/libsodium/include/sodium/private/common.h"
    "src/libsodium/include/sodium/private/ed25519_ref10.h"
    "src/libsodium/include/sodium/private/ed25519_ref10_fe_25_5.h"
    "src/libsodium/include/sodium/private/ed25519_ref10_fe_51.h"
    "src/libsodium/include/sodium/private/implementations.h"
    "src/libsodium/include/sodium/private/mutex.h"
    "src/libsodium/include/sodium/private/sse2_64_32.h"
    "src/libsodium/include/sodium/randombytes.h"
    "src/libsodium/include/sodium/randombytes_sysrandom.h"
    "src/libsodium/include/sodium/runtime.h"
    "src/libsodium/include/sodium/utils.h"
    "src/libsodium/randombytes/randombytes.c"
    "src/libsodium/randombytes/sysrandom/randombytes_sysrandom.c"
    "src/libsodium/sodium/core.c"
    "src/libsodium/sodium/runtime.c"
    "src/libsodium/sodium/utils.c"
    "src/libsodium/sodium/version.c"
};

/// Files of this crate, which are written next to libsodium's headers.
const OWN: &[(&str, &str)] = files! { "sodium/":
    "config.h"
    "sodium.h"
    "unused.c"
};

/// Compiles libsodium into the calling build script's `OUT_DIR` and returns where it is.
pub fn compile() -> upstream::LibLocation {
    let out = Path::new(&env::var_os("OUT_DIR").expect("Cargo sets OUT_DIR")).join("libsodium");
    let include = out.join("src/libsodium/include");
    let mut build = cc::Build::new();
    let own = OWN.iter().map(|&(name, text)| (include.join(name), text));
    let release = RELEASE.iter().map(|&(path, text)| (out.join(path), text));
    for (path, text) in own.chain(release) {
        let folder = path.parent().expect("each file is in a folder");
        fs::create_dir_all(folder).expect("OUT_DIR can be written to");
        fs::write(&path, text).expect("OUT_DIR can be written to");
        if path.extension().is_some_and(|extension| extension == "c") {
            build.file(path);
        }
    }
    build
        .include(&include)
        .include(include.join("sodium"))
        .include(out.join("builds/msvc"))
        .define("SODIUM_STATIC", "1")
        .warnings(false);
    let config = include.join("config.h");
    let msvc = build.get_compiler().is_like_msvc();
    if msvc {
        build.flag(format!("/FI{}", config.display()));
    } else {
        // The flags of libsodium's own build.
        build
            .flag("-fvisibility=hidden")
            .flag("-fno-strict-aliasing")
            .flag("-fno-strict-overflow")
            .flag("-flax-vector-conversions")
            .flag("-include")
            .flag(config);
    }
    if env::var("CARGO_CFG_WINDOWS").is_ok() {
        println!("cargo:rustc-link-lib=advapi32"); // the system's random numbers
    }
    let library = out.join("lib");
    build
        .out_dir(&library)
        // `zeromq-src` links the archive, under this name.
        .cargo_metadata(false)
        .compile(if msvc { "libsodium" } else { "sodium" });
    upstream::LibLocation::new(library, include)
}
