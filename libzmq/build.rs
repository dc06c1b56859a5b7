//! Hands on where libsodium was installed: Cargo tells only a direct dependent's build script.

fn main() {
    for (from, to) in [
        ("DEP_SODIUM_INCLUDE", "SODIUM_INCLUDE"),
        ("DEP_SODIUM_LIB", "SODIUM_LIB"),
    ] {
        println!("cargo:rerun-if-env-changed={from}");
        let path = std::env::var(from)
            .unwrap_or_else(|_| panic!("libsodium's build script did not set {from}"));
        println!("cargo:rustc-env={to}={path}");
    }
}
