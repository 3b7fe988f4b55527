//! Counts steps of work in tests, so that they can say how much is done for an answer without looking at a clock.

#[cfg(test)]
std::thread_local! {
    static STEPS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// One node was looked at, or one rule asked.
pub(crate) fn step() {
    #[cfg(test)]
    STEPS.with(|steps| steps.set(steps.get() + 1));
}

/// Steps of this thread since the last time that this was asked.
#[cfg(test)]
pub(crate) fn taken() -> usize {
    STEPS.with(std::cell::Cell::take)
}
