//! What a drill runs on, for its record.

use std::collections::BTreeMap;
use std::fs;

/// The system, processors and memory of this host.
pub(crate) fn environment() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let names = rustix::system::uname();
    let kernel = [names.sysname(), names.release(), names.machine()];
    let kernel: Vec<_> = kernel.iter().map(|name| name.to_string_lossy()).collect();
    found.insert("kernel".to_owned(), kernel.join(" "));
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    if let Some(name) = name {
        found.insert("os".to_owned(), name.trim_matches('"').to_owned());
    }
    if let Ok(count) = std::thread::available_parallelism() {
        found.insert("cpus".to_owned(), count.to_string());
    }
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    if let Some(total) = total {
        found.insert("memory".to_owned(), total.trim().to_owned());
    }
    found
}
