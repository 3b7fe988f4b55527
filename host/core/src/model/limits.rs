//! Every bound of the core and of its shells, with unit and reason. A bound that is not here does not exist.

/// Events per call into a mapper: past 64 a crossing costs hardly less per event.
pub const EVENTS_PER_CALL_MAX: usize = 64;
/// Events waiting for one bridge: 16 full batches; then the sources wait.
pub const MAILBOX_EVENTS_MAX: usize = 1024;
/// Actions from one call: what 64 events with 64 answers each come to.
pub const ACTIONS_PER_CALL_MAX: usize = 4096;
/// Bytes of one `data` event: a read of a socket; larger ones only make the sandbox copy longer.
pub const DATA_EVENT_BYTES_MAX: usize = 64 * 1024;
/// Bytes that may wait to leave on one connection: a slow peer must not fill the host.
pub const CONNECTION_QUEUE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Connections of one bridge: more is a leak.
pub const CONNECTIONS_PER_BRIDGE_MAX: usize = 256;
/// Timers of one bridge: one per node of a large bridge.
pub const TIMERS_PER_BRIDGE_MAX: usize = 16_384;

/// Memory of one instance, in bytes, if the operator says nothing.
pub const INSTANCE_MEMORY_BYTES: usize = 64 * 1024 * 1024;
/// Stack of one instance, in bytes.
pub const INSTANCE_STACK_BYTES: usize = 512 * 1024;
/// Deadline of one call into a mapper, in milliseconds, if the operator says nothing.
pub const CALL_DEADLINE_MS: u64 = 100;
/// Bytes of a component file.
pub const COMPONENT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of a checkpoint or carry-over.
pub const STATE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// First delay before a failed instance is started again, in milliseconds; it doubles.
pub const RESTART_DELAY_MS: u64 = 100;
/// Longest such delay, in milliseconds.
pub const RESTART_DELAY_MS_MAX: u64 = 30_000;
/// Faults within [`RESTART_WINDOW_MS`] that quarantine a bridge.
pub const RESTARTS_MAX: u32 = 5;
/// How long a fault is remembered, in milliseconds.
pub const RESTART_WINDOW_MS: u64 = 60_000;
/// Bytes of one log line of a mapper.
pub const LOG_LINE_BYTES_MAX: usize = 1024;
/// Log lines of one bridge in a second.
pub const LOG_LINES_PER_SECOND_MAX: u32 = 20;

/// Nodes of one bridge.
pub const NODES_PER_BRIDGE_MAX: usize = 100_000;
/// Fields of one node.
pub const FIELDS_PER_NODE_MAX: usize = 512;
/// Bytes of an id, name, unit or label.
pub const NAME_BYTES_MAX: usize = 512;
/// Bytes of a text value.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;

/// Readouts under way for one caller: a client that asks faster than it listens gets `resource-constraint`.
pub const READOUTS_PER_CALLER_MAX: usize = 64;
/// Readouts under way in all.
pub const READOUTS_MAX: usize = 4096;
/// How long a mapper may take for a read, in milliseconds.
pub const READOUT_DEADLINE_MS: u64 = 30_000;
/// How long a mapper may take for a write, in milliseconds.
pub const CONTROL_DEADLINE_MS: u64 = 30_000;
/// Event subscriptions of one caller.
pub const SUBSCRIPTIONS_PER_CALLER_MAX: usize = 256;
/// Event subscriptions in all.
pub const SUBSCRIPTIONS_MAX: usize = 20_000;
/// Nodes or fields named in one request.
pub const NAMES_PER_REQUEST_MAX: usize = 1024;
/// Bytes of a readout's message before it is split (spec: below 10 kB unless told otherwise).
pub const READOUT_MESSAGE_BYTES: usize = 8 * 1024;
/// Bytes of one iq answer before clients are told to walk the tree instead; servers cut at 64 kB and above.
pub const ANSWER_BYTES_MAX: usize = 48 * 1024;

/// Bytes of one stanza that we read.
pub const STANZA_BYTES_MAX: usize = 512 * 1024;
/// Stanzas sent and not acknowledged by the server.
pub const UNACKNOWLEDGED_STANZAS_MAX: usize = 500;
/// Stanzas waiting for the server; then bridges wait.
pub const OUTBOX_STANZAS_MAX: usize = 50_000;
