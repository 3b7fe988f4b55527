//! Routes by bridge and way, each made once: a message that leaves with a promise names its route without a new text.

use std::collections::BTreeMap;

use crate::model::custody::Route;

/// As many as there are bridges in the configuration, times the few ways.
#[derive(Debug, Default)]
pub(super) struct Routes(BTreeMap<Box<str>, BTreeMap<&'static str, Route>>);

impl Routes {
    pub(super) fn of(&mut self, bridge: &str, way: &'static str) -> Route {
        if let Some(route) = self.0.get(bridge).and_then(|ways| ways.get(way)) {
            return route.clone();
        }
        let route = Route::new(bridge, way);
        self.0.entry(bridge.into()).or_default().insert(way, route.clone());
        route
    }
}
