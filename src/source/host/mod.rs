//! The fast path: what the host says at any time without a sampler, and what is known of the machine.
//!
//! The same shape on both systems: [`Host`], [`info`], [`boot_id`], [`os_version`], [`resident_bytes`].

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;

#[cfg(target_os = "linux")]
pub(crate) use linux::info_of;
#[cfg(target_os = "linux")]
pub use linux::{Host, boot_id, info, os, os_version, resident_bytes};
#[cfg(target_os = "macos")]
pub use macos::{Host, boot_id, info, os, os_version, resident_bytes};

/// The host's name; empty where it has none.
#[must_use]
pub fn host_name() -> String {
    let mut bytes = [0_u8; 256];
    // SAFETY: the buffer is valid for its length; one byte less leaves room for an end where it is cut.
    let result = unsafe { libc::gethostname(bytes.as_mut_ptr().cast(), bytes.len() - 1) };
    if result != 0 {
        return String::new();
    }
    let end = memchr::memchr(0, &bytes).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Metrics;

    #[test]
    fn this_host_reports_load_memory_and_cores_in_range() {
        let mut metrics = Metrics::default();
        Host::new().read(&crate::clock::now(), &mut metrics);
        assert!(metrics.load_avg.is_some_and(|load| load >= 0.0), "{metrics:?}");
        assert!(metrics.cores.is_some_and(|cores| cores > 0), "{metrics:?}");
        assert!(metrics.memory_available_pct.is_some_and(|pct| pct > 0.0 && pct <= 100.0), "{metrics:?}");
        assert!(metrics.swap_used_bytes.is_some(), "{metrics:?}");
    }

    #[test]
    fn what_a_process_holds_is_known_of_ours_and_of_nobody() {
        let ours = resident_bytes(std::process::id().cast_signed()).unwrap();
        assert!((1 << 20..1 << 40).contains(&ours), "{ours}");
        assert_eq!(resident_bytes(i32::MAX), None);
    }

    #[test]
    fn this_host_has_a_name_and_one_boot() {
        assert!(!host_name().is_empty());
        assert!(boot_id().is_some_and(|id| !id.is_empty()));
        assert_eq!(boot_id(), boot_id());
        assert!(info().boot_time_s.is_some_and(|time| time > 0));
        assert!(info().os_build.is_some());
        assert!(os_version().is_some_and(|version| !version.is_empty()));
    }
}
