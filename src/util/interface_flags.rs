//! The flags that the kernel gives network interfaces.

#![cfg(unix)]

use std::collections::HashMap;
use std::ffi::CStr;

/// The flags (`IFF_…`) of each interface, by name; empty if they cannot be read.
pub(crate) fn interface_flags() -> HashMap<String, u32> {
    let mut found = HashMap::new();
    let mut first = std::ptr::null_mut();
    // SAFETY: the call sets the pointer to a list that belongs to us.
    if unsafe { libc::getifaddrs(&raw mut first) } != 0 {
        return found;
    }
    let mut next = first;
    // SAFETY: each entry is valid until the list is freed, and so is its name.
    while let Some(entry) = unsafe { next.as_ref() } {
        // SAFETY: as above.
        let name = unsafe { CStr::from_ptr(entry.ifa_name) };
        found.insert(name.to_string_lossy().into_owned(), entry.ifa_flags);
        next = entry.ifa_next;
    }
    // SAFETY: the list came from `getifaddrs`, and is freed once.
    unsafe { libc::freeifaddrs(first) };
    found
}

#[cfg(test)]
mod tests {
    use super::interface_flags;

    #[test]
    fn the_loopback_interface_has_its_flag() {
        let loopback = u32::try_from(libc::IFF_LOOPBACK).unwrap_or_default();
        assert!(interface_flags()
            .values()
            .any(|flags| flags & loopback != 0));
    }
}
