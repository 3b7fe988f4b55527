//! What a process has used up, and what machine this is, from `/proc`.

use tombolo_dev::Outcome;
use tombolo_dev::process::family;

/// Clock ticks of a second, as Linux tells processes on every machine that it runs on.
const TICKS: f64 = 100.0;

/// What a process and its children have used so far.
pub(crate) struct Usage {
    ticks: u64,
    resident_kb: u64,
}

impl Usage {
    pub(crate) fn of(process: u32) -> Outcome<Self> {
        let mut usage = Self { ticks: 0, resident_kb: 0 };
        for member in family(process) {
            let Ok(stat) = std::fs::read_to_string(format!("/proc/{member}/stat")) else { continue };
            // The name, which may hold anything, ends with the last parenthesis; times are the 12th and 13th word after it.
            let words: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
            let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok()).unwrap_or_default();
            usage.ticks += number(11) + number(12);
            let status = std::fs::read_to_string(format!("/proc/{member}/status")).unwrap_or_default();
            let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let resident = resident.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
            usage.resident_kb += resident.unwrap_or_default();
        }
        Ok(usage)
    }

    /// Seconds of the processor since then.
    pub(crate) fn cpu_s_since(&self, earlier: &Self) -> f64 {
        self.ticks.saturating_sub(earlier.ticks) as f64 / TICKS
    }

    pub(crate) fn resident_mb(&self) -> f64 {
        self.resident_kb as f64 / 1000.0
    }
}

/// The value below which so many of a hundred lie; 0 of nothing.
pub(crate) fn percentile(values: &mut [u64], hundredths: usize) -> u64 {
    values.sort_unstable();
    values.get((values.len() * hundredths / 100).min(values.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// Processor, cores and memory.
pub(crate) fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = read("/proc/meminfo");
    let total =
        memory.lines().next().and_then(|line| line.split_whitespace().nth(1)).and_then(|kb| kb.parse::<u64>().ok());
    format!("{cores} cores,{}, {} GB", model.trim_start_matches(['\t', ':']), total.unwrap_or_default() / 1_000_000)
}
