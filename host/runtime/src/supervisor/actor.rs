//! The task.
use super::*;
pub(super) struct Doors {
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) stopping: Arc<Notify>,
    pub(super) out: mpsc::Sender<BridgeOutput>,
}
pub(super) async fn run(
    _name: Arc<str>,
    _settings: BridgeSettings,
    _program: Arc<dyn Program>,
    _doors: Doors,
    _clock: Clock,
) {
}
