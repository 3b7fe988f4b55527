//! Hears what is logged as broken: an ERROR is a finding. Everything below it is the product's own business.

use std::cell::RefCell;
use std::fmt::{Debug, Write};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

thread_local! {
    static ERRORS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct Ear;

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, "{}={value:?} ", field.name());
    }
}

impl Subscriber for Ear {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        // Mappers say in their own words what befalls them; those are no errors of the host's.
        let mut text = Text(String::new());
        event.record(&mut text);
        ERRORS.with_borrow_mut(|errors| errors.push(text.0));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Listens from now on, in every thread.
pub(crate) fn listen() {
    // A second time changes nothing.
    let _ = tracing::subscriber::set_global_default(Ear);
}

/// Forgets what this thread has heard.
pub(crate) fn begin() {
    ERRORS.with_borrow_mut(Vec::clear);
}

/// The first that this thread has heard.
pub(crate) fn first() -> Option<String> {
    ERRORS.with_borrow(|errors| errors.first().cloned())
}
