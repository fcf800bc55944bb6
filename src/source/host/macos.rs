//! The fast path on macOS: getloadavg and sysctl, which need no privilege.

use std::ffi::CStr;

use crate::clock::Stamp;
use crate::sample::{Metrics, Name, SourceInfo};

/// Load, memory, swap and cores.
///
/// A read is five system calls that the kernel answers from counters at hand; none of them is limited in rate,
/// as `host_statistics64` is.
#[derive(Default)]
pub struct Host {}

impl Host {
    /// Opens nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {}
    }

    /// Fills `load_avg`, `cores`, `memory_available_pct` and `swap_used_bytes`, and nothing else; `None` where
    /// they can't be read. They are cheap enough to be read each time.
    pub fn read(&mut self, _: &Stamp, metrics: &mut Metrics) {
        metrics.load_avg = load();
        // SAFETY: the value is a 32-bit integer.
        metrics.cores = unsafe { value::<u32>(c"hw.logicalcpu") }.filter(|&cores| cores > 0);
        // SAFETY: the value is a 32-bit integer, percent.
        let available = unsafe { value::<u32>(c"kern.memorystatus_level") };
        metrics.memory_available_pct = available.map(|pct| f64::from(pct.min(100)));
        // SAFETY: the value is a `struct xsw_usage`.
        let swap = unsafe { value::<libc::xsw_usage>(c"vm.swapusage") };
        metrics.swap_used_bytes = swap.map(|swap| swap.xsu_used);
    }
}

/// The machine's model, its system's build, and when it started.
#[must_use]
pub fn info() -> SourceInfo {
    // SAFETY: the value is a `struct timeval`.
    let boot = unsafe { value::<libc::timeval>(c"kern.boottime") };
    SourceInfo {
        hw_model: text(c"hw.model").as_deref().map(Name::new),
        os_build: text(c"kern.osversion").as_deref().map(Name::new),
        boot_time_s: boot.map(|time| time.tv_sec),
    }
}

/// What names this boot of the machine: another after each start.
#[must_use]
pub fn boot_id() -> Option<String> {
    text(c"kern.bootsessionuuid")
}

/// The system's version, as "15.1".
#[must_use]
pub fn os_version() -> Option<String> {
    text(c"kern.osproductversion")
}

/// The system and its version, as "macOS 15.1".
#[must_use]
pub fn os() -> String {
    os_version().map_or_else(|| "macOS".to_owned(), |version| format!("macOS {version}"))
}

/// The memory that a process holds, bytes; `None` where there is no such process, or it is another user's.
#[must_use]
pub fn resident_bytes(pid: libc::pid_t) -> Option<u64> {
    let mut info = std::mem::MaybeUninit::<libc::proc_taskinfo>::zeroed();
    let size = libc::c_int::try_from(size_of::<libc::proc_taskinfo>()).ok()?;
    // SAFETY: `info` has the room that is said.
    let filled =
        unsafe { libc::proc_pidinfo(pid, libc::PROC_PIDTASKINFO, 0, info.as_mut_ptr().cast(), size) };
    // SAFETY: it was zeroed, has numbers only, and the system has filled it.
    (filled == size).then(|| unsafe { info.assume_init() }.pti_resident_size)
}

fn load() -> Option<f64> {
    let mut loads = [0.0; 1];
    // SAFETY: the array holds as many loads as are asked for.
    let got = unsafe { libc::getloadavg(loads.as_mut_ptr(), 1) };
    let [load] = loads;
    (got == 1 && load.is_finite() && load >= 0.0).then_some(load)
}

/// A sysctl's value; `None` where there is none of that size.
///
/// # Safety
///
/// Any bytes must be a valid `T`.
unsafe fn value<T: Copy>(name: &CStr) -> Option<T> {
    let mut value = std::mem::MaybeUninit::<T>::zeroed();
    let mut len = size_of::<T>();
    // SAFETY: `value` is valid for `len` bytes, the name ends with NUL, and nothing is set.
    let result = unsafe {
        libc::sysctlbyname(name.as_ptr(), value.as_mut_ptr().cast(), &raw mut len, std::ptr::null_mut(), 0)
    };
    // SAFETY: all bytes are there, from the kernel, and any bytes are a valid T.
    (result == 0 && len == size_of::<T>()).then(|| unsafe { value.assume_init() })
}

/// A sysctl's text; `None` where it is empty.
fn text(name: &CStr) -> Option<String> {
    let mut bytes = [0_u8; 256];
    let mut len = bytes.len();
    // SAFETY: the buffer is valid for `len` bytes, the name ends with NUL, and nothing is set.
    let result = unsafe {
        libc::sysctlbyname(name.as_ptr(), bytes.as_mut_ptr().cast(), &raw mut len, std::ptr::null_mut(), 0)
    };
    if result != 0 {
        return None;
    }
    let end = memchr::memchr(0, &bytes).unwrap_or(bytes.len());
    let text = String::from_utf8_lossy(&bytes[..end]).trim().to_owned();
    (!text.is_empty()).then_some(text)
}
