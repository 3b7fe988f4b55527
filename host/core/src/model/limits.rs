//! Every bound of the core and of its shells, with unit and reason. A bound that is not here does not exist.

/// Events per call into a mapper: past 64 a crossing costs hardly less per event.
pub const EVENTS_PER_CALL_MAX: usize = 64;
/// Bytes of what came from outside in one call into a mapper: what a slow mapper reads in a small part of its deadline.
pub const EVENT_BYTES_PER_CALL_MAX: usize = 256 * 1024;
/// Events waiting for one bridge: 16 full batches; then the sources wait.
pub const MAILBOX_EVENTS_MAX: usize = 1024;
/// Actions from one call: what 64 events with 64 answers each come to.
pub const ACTIONS_PER_CALL_MAX: usize = 4096;
/// Bytes of one `data` event: a read of a socket; larger ones only make the sandbox copy longer.
pub const DATA_EVENT_BYTES_MAX: usize = 64 * 1024;
/// Bytes that may wait to leave on one connection: a slow peer must not fill the host.
pub const CONNECTION_QUEUE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes waiting on one connection from which on its mapper is told once they have left.
pub const CONNECTION_QUEUE_BYTES_LONG: usize = 256 * 1024;
/// How long resolving, connecting and the TLS handshake may take together, in milliseconds.
pub const CONNECT_DEADLINE_MS: u64 = 15_000;
/// How long what was sent may take to leave after `close`, in milliseconds: a peer that reads nothing must not keep a connection.
pub const CLOSE_DEADLINE_MS: u64 = 5_000;
/// How long a closed connection waits for the peer's end, in milliseconds: an earlier end of ours could take with it what was sent.
pub const CLOSE_LINGER_MS: u64 = 500;
/// Targets of one endpoint: each request is compared with all.
pub const TARGETS_PER_ENDPOINT_MAX: usize = 64;
/// Pre-shared keys of one endpoint: one per device of a large site.
pub const PSKS_PER_ENDPOINT_MAX: usize = 10_000;
/// Bytes of a pre-shared key (RFC 4279 §5.3 asks for 64 at least).
pub const PSK_BYTES_MAX: usize = 64;
/// Bytes of the identity that goes with it (RFC 4279 §5.3 asks for 128 at least).
pub const PSK_IDENTITY_BYTES_MAX: usize = 128;
/// Connections of one bridge: more is a leak.
pub const CONNECTIONS_PER_BRIDGE_MAX: usize = 256;
/// Connections that others made to one bridge: more devices than one mapper looks after over streams.
pub const ACCEPTED_PER_BRIDGE_MAX: usize = 1024;
/// TLS handshakes under way at one listener; then further connections wait in the system's queue.
pub const HANDSHAKES_PER_LISTENER_MAX: usize = 64;
/// Datagrams that may wait to leave on one socket; further ones are lost, as they may be on any network.
pub const DATAGRAMS_WAITING_MAX: usize = 4096;
/// Bytes of one datagram: what UDP has room for.
pub const DATAGRAM_BYTES_MAX: usize = 65_507;
/// Bytes of a datagram that DTLS makes of a handshake: what every network carries in one piece.
pub const DTLS_DATAGRAM_BYTES: usize = 1200;
/// Peers that have proved who they are over one socket; then the one that was silent for longest goes.
pub const DTLS_SESSIONS_MAX: usize = 10_000;
/// Handshakes under way over one socket; then the oldest goes.
pub const DTLS_HANDSHAKES_MAX: usize = 256;
/// How old a handshake must be before its peer may begin another in its stead, in milliseconds.
pub const DTLS_HANDSHAKE_ANEW_MS: u64 = 2_000;
/// Bytes of one datagram over DTLS: one record (RFC 6347 §4.1).
pub const DTLS_RECORD_BYTES_MAX: usize = 16_384;
/// How long a place to listen at that is still in use is tried for, in milliseconds: who had it before may need that long to end.
pub const LISTEN_RETRY_MS: u64 = 5_000;
/// Timers of one bridge: one per node of a large bridge.
pub const TIMERS_PER_BRIDGE_MAX: usize = 16_384;

/// Memory of one instance, in bytes, if the operator says nothing.
pub const INSTANCE_MEMORY_BYTES: usize = 64 * 1024 * 1024;
/// Least memory that an operator can set, in bytes: no component starts with less.
pub const INSTANCE_MEMORY_BYTES_MIN: usize = 1024 * 1024;
/// Most memory that an operator can set, in bytes: what 32 bits address.
pub const INSTANCE_MEMORY_BYTES_MAX: usize = 4 * 1024 * 1024 * 1024;
/// Stack of one instance, in bytes.
pub const INSTANCE_STACK_BYTES: usize = 512 * 1024;
/// Deadline of one call into a mapper, in milliseconds, if the operator says nothing.
pub const CALL_DEADLINE_MS: u64 = 100;
/// How often running guests are looked at, in milliseconds: the longest that one holds a worker thread before its neighbours' turn.
pub const EPOCH_TICK_MS: u64 = 5;
/// Bytes that one call may hand from the guest to the host: the largest state, and as much again for actions beside it.
pub const CALL_RESULT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Compiled components that are kept on disk: those in use, and some versions to go back to.
pub const COMPILED_COMPONENTS_MAX: usize = 64;
/// Bytes of the JSON Schema in a plugin's description.
pub const SETTINGS_SCHEMA_BYTES_MAX: usize = 256 * 1024;
/// Bytes of one journal; then recording ends, the bridge goes on.
pub const JOURNAL_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Longest deadline that an operator can set, in milliseconds: a bridge that hangs for longer is noticed.
pub const CALL_DEADLINE_MS_MAX: u64 = 10_000;
/// Bytes of a component file.
pub const COMPONENT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Memory in which the store keeps pages of its file, in bytes: the outbox is read only at the start.
pub const STORE_CACHE_BYTES: usize = 4 * 1024 * 1024;
/// How old the copy of the store that backups rely on may be once something changed, in milliseconds: writing it costs as much as a few
/// hundred readings.
pub const STORE_COPY_EVERY_MS: u64 = 60_000;

/// How long the end of custody may wait to be written with something else, in milliseconds.
pub const ENDS_WAIT_MS: u64 = 100;
/// Component files in the plugins directory: more is somebody else's directory.
pub const PLUGIN_FILES_MAX: usize = 1024;
/// How long a watched directory must be quiet before it is looked at, in milliseconds; also how long a file must keep its content.
pub const RELOAD_QUIET_MS: u64 = 200;
/// How long such quiet is waited for at most, in milliseconds: a change takes effect within two seconds.
pub const RELOAD_WAIT_MS_MAX: u64 = 1_400;
/// How often watched directories are looked at without being told, in milliseconds: some file systems tell nothing.
pub const RELOAD_POLL_MS: u64 = 5_000;
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
/// Log lines of one bridge in a second, and of one place in the host's code.
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
/// Control operations under way for one caller.
pub const CONTROLS_PER_CALLER_MAX: usize = 64;
/// Control operations under way in all.
pub const CONTROLS_MAX: usize = 4096;
/// Event subscriptions of one caller.
pub const SUBSCRIPTIONS_PER_CALLER_MAX: usize = 256;
/// Event subscriptions in all.
pub const SUBSCRIPTIONS_MAX: usize = 20_000;
/// Pairs of subscriber and node in all: a wide subscription counts as many.
pub const SUBSCRIBED_NODES_MAX: usize = 200_000;
/// How long a subscriber may be away before its subscriptions end, in milliseconds: a phone in a lift, not one that was sold.
pub const SUBSCRIBER_AWAY_MS_MAX: u64 = 600_000;
/// Bytes of an event subscription's wish that is kept over a restart; larger ones live until the service ends.
pub const KEPT_WISH_BYTES_MAX: usize = 64 * 1024;
/// Least of a subscription's longest interval, in milliseconds: events without end would be asked for otherwise.
pub const EVENT_INTERVAL_MS_MIN: u64 = 100;
/// How far ahead of the clock a reading's instant is believed, in milliseconds: devices that stamp their own have clocks that differ.
pub const CLOCK_AHEAD_MS_MAX: u64 = 10_000;
/// Readings that wait for one account that cannot be reached: what some minutes of a busy device come to.
pub const HELD_READINGS_PER_ACCOUNT_MAX: usize = 10_000;
/// Readings that wait for accounts that cannot be reached, in all; then the oldest are given up.
pub const HELD_READINGS_MAX: usize = 20_000;
/// How long such a reading waits, in milliseconds: as long as a subscriber may be away.
pub const HELD_READING_MS_MAX: u64 = SUBSCRIBER_AWAY_MS_MAX;
/// How long nothing is sent again to an account whose server said to wait, in milliseconds: a full store for who is offline says so.
pub const RETURNED_WAIT_MS: u64 = 5_000;
/// How soon it is said that readings are given up because there are too many, in milliseconds: once for many.
pub const GIVEN_UP_TOLD_MS: u64 = 5_000;
/// Stanzas that the server has and that are remembered, in case they come back: what a server keeps for a client that vanished.
pub const RETURNABLE_STANZAS_MAX: usize = 10_000;
/// Bytes of such stanzas.
pub const RETURNABLE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Subscriptions to what happens in data sources, for one caller: every source and some to spare.
pub const WATCHES_PER_CALLER_MAX: usize = 64;
/// Subscriptions to what happens in data sources, in all: every one is looked at for every node that changes.
pub const WATCHES_MAX: usize = 1024;
/// Iqs of ours that await an answer: then whatever wants to ask is refused, not forgotten.
pub const ASKS_MAX: usize = 4096;
/// How long somebody may take to answer an iq of ours, in milliseconds: a queued thing on a slow link, not a dead one.
pub const ASK_DEADLINE_MS: u64 = 30_000;
/// Wishes that the app has not answered: more than operators have hands.
pub const WISHES_MAX: usize = 64;
/// How long the app may take for a wish, in milliseconds: reading a configuration and its secrets takes far less.
pub const WISH_DEADLINE_MS: u64 = 10_000;
/// Readings that are collected for a step of a command or a sentence in a chat.
pub const ERRAND_READINGS_MAX: usize = 256;
/// Sessions of ad-hoc commands of one caller: the oldest goes, since clients forget to cancel.
pub const SESSIONS_PER_CALLER_MAX: usize = 8;
/// Sessions of ad-hoc commands in all.
pub const SESSIONS_MAX: usize = 256;
/// How long a session of a command may be left alone, in milliseconds: long enough to look something up.
pub const SESSION_MS_MAX: u64 = 600_000;
/// Devices that a form lets choose from: beyond that nobody scrolls, and a text is asked for.
pub const CHOICES_MAX: usize = 200;
/// Sentences of one person that are answered in a minute: faster is a machine.
pub const SENTENCES_PER_MINUTE_MAX: u32 = 20;
/// Sentences in a row that are not understood and yet answered: whoever goes on is a machine, or does not read.
pub const PUZZLES_MAX: u32 = 3;
/// Bytes of a sentence.
pub const SENTENCE_BYTES_MAX: usize = 1000;
/// People with whom we have talked and whose pace we remember.
pub const TALKS_MAX: usize = 1000;
/// How long a stranger in a chat is not answered again, in milliseconds: a day.
pub const STRANGER_SILENCE_MS: u64 = 86_400_000;
/// Lines of an answer in a chat: some screens of a phone.
pub const CHAT_LINES_MAX: usize = 40;
/// Decisions about presence subscriptions that are remembered.
pub const DECISIONS_MAX: usize = 10_000;
/// `mirror` entries of one bridge: an operator writes them by hand.
pub const MIRROR_ENTRIES_MAX: usize = 64;
/// Things of others that one bridge is shown: all of them are told anew when its mapper starts, into a mailbox of this order.
pub const MIRRORED_THINGS_PER_BRIDGE_MAX: usize = 1000;
/// Events that wait for a bridge whose things of others change: all of them told twice, and a mailbox's worth; then it is told anew later.
pub const THING_EVENTS_WAITING_MAX: usize = 2 * MIRRORED_THINGS_PER_BRIDGE_MAX + MAILBOX_EVENTS_MAX;
/// Nodes of one remote that are kept: several bridges may be shown different ones.
pub const MIRRORED_NODES_PER_REMOTE_MAX: usize = 2000;
/// Fields of all kept nodes of one remote: with their texts some 50 MB at worst, from a remote that means ill.
pub const MIRRORED_FIELDS_PER_REMOTE_MAX: usize = 10_000;
/// Bytes of a mirrored text value.
pub const MIRRORED_TEXT_BYTES_MAX: usize = 4096;
/// Parameters of a remote's node that are kept as extras.
pub const MIRRORED_EXTRAS_MAX: usize = 32;
/// Nodes that are looked at in one browse of a remote, kept or not.
pub const MIRROR_BROWSED_MAX: usize = 20_000;
/// Requests of ours under way at one remote: it may be a small device on a slow link.
pub const MIRROR_ASKS_PER_REMOTE_MAX: usize = 4;
/// Nodes named in one request of ours to a remote: its readings come to some messages, not to hundreds.
pub const MIRROR_NODES_PER_ASK_MAX: usize = 20;
/// How long a remote may take for a readout, in milliseconds: as long as a bridge of ours gives its mapper, twice.
pub const MIRROR_READOUT_MS_MAX: u64 = 60_000;
/// First delay before a remote is tried again, in milliseconds; it doubles.
pub const MIRROR_RETRY_MS: u64 = 5_000;
/// Longest such delay, in milliseconds.
pub const MIRROR_RETRY_MS_MAX: u64 = 600_000;
/// How often subscriptions at a remote are renewed, in milliseconds: one that was started again behind its server's back has lost them.
pub const MIRROR_RENEW_MS: u64 = 300_000;
/// How long a subscription to a remote's data source is asked for, in seconds: several renewals.
pub const MIRROR_WATCH_S: u64 = 3600;
/// How often a remote without event subscriptions is read, in milliseconds, if the operator says nothing.
pub const MIRROR_POLL_MS: u64 = 30_000;
/// How often at most, in milliseconds.
pub const MIRROR_POLL_MS_MIN: u64 = 1000;
/// Nodes of one publish-subscribe service that are listened to.
pub const MIRROR_PUBSUB_NODES_MAX: usize = 1000;
/// Items that are fetched of a node when we begin to listen to it: the last of each of a few things.
pub const MIRROR_ITEMS_MAX: usize = 20;
/// Longest time between two readouts of a thing, or two looks for nodes of a service, that can be asked for, in milliseconds: a day.
pub const MIRROR_POLL_MS_MAX: u64 = 86_400_000;
/// Longest silence of a published thing that can be asked for, in milliseconds: thirty days.
pub const MIRROR_STALE_MS_MAX: u64 = 2_592_000_000;
/// From how many hosts' hands a thing is taken at most: more is a ring.
pub const MIRROR_HOPS_MAX: u32 = 4;
/// Settings and readouts of mirrored things that one mapper may have under way.
pub const MIRROR_ORDERS_MAX: usize = 64;
/// Full JIDs of which we remember that they are online.
pub const CONTACTS_MAX: usize = 10_000;
/// Strangers' presence subscriptions that wait for a decision: the server repeats what we do not keep.
pub const WAITING_MAX: usize = 1000;
/// Presence subscriptions of one bare JID that wait, for different nodes: one stranger must not keep all others out.
pub const WAITING_PER_JID_MAX: usize = 16;
/// Bytes of a field's pattern once compiled: patterns come from plugins.
pub const PATTERN_BYTES_MAX: usize = 64 * 1024;
/// Nodes or fields named in one request.
pub const NAMES_PER_REQUEST_MAX: usize = 1024;
/// Bytes of one list of tokens in a request.
pub const TOKENS_BYTES_MAX: usize = 4096;
/// Commands of one node.
pub const COMMANDS_PER_NODE_MAX: usize = 64;
/// How many nodes stand above a node at most: no real tree is deeper, and each is walked through from a node to its root.
pub const NODE_DEPTH_MAX: usize = 64;
/// Commands and edits under way for one caller.
pub const COMMANDS_PER_CALLER_MAX: usize = 64;
/// Commands and edits under way in all.
pub const COMMANDS_MAX: usize = 4096;
/// How long a mapper may take for a command or an edit, in milliseconds.
pub const COMMAND_DEADLINE_MS: u64 = 30_000;
/// Queries under way for one caller.
pub const QUERIES_PER_CALLER_MAX: usize = 16;
/// Queries under way in all.
pub const QUERIES_MAX: usize = 256;
/// How long a query may take, in milliseconds: a history is read record by record.
pub const QUERY_DEADLINE_MS: u64 = 600_000;
/// Records of one query: what a person can look through is far less.
pub const QUERY_RECORDS_MAX: usize = 100_000;
/// What happened to nodes, kept for subscribers that missed it: an hour of a busy network.
pub const NODE_EVENTS_KEPT_MAX: usize = 1024;
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
/// From here on mappers are told that the host is full, so that devices are told to wait before nothing can be told any more.
pub const OUTBOX_FULL_FROM: usize = 40_000;
/// From here downwards, that there is room again.
pub const OUTBOX_FREE_BELOW: usize = 20_000;
/// Nesting of one stanza: what any extension needs; parsers and destructors recurse, so deeper could end the process.
pub const STANZA_DEPTH_MAX: usize = 64;
/// Bytes of one start tag in a stanza: tokio-xmpp's parser ends the stream at a token of 8192 bytes.
pub const START_TAG_BYTES_MAX: usize = 8000;
/// Stanzas handed over to the XMPP session and not yet taken by it: a burst of readouts; then `send` says full.
pub const HANDED_OVER_STANZAS_MAX: usize = 1024;

/// Queues of one host: more is a database's work.
pub const QUEUES_MAX: usize = 256;
/// Items that one queue can be told to take.
pub const QUEUE_ITEMS_MAX: usize = 1_000_000;
/// Bytes of all items of one queue: they are held in memory as well as on disk.
pub const QUEUE_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Bytes of one item's payload.
pub const QUEUE_PAYLOAD_BYTES_MAX: usize = 128 * 1024;
/// Acknowledged ids that a queue remembers, so that a provider may repeat itself.
pub const QUEUE_DONE_IDS: usize = 4096;
/// Items in one answer to whoever looks or pulls.
pub const QUEUE_PAGE_ITEMS_MAX: usize = 256;
/// Requests for items that wait for one to come, for one caller.
pub const QUEUE_PULLS_PER_CALLER_MAX: usize = 16;
/// Requests for items that wait for one to come, in all.
pub const QUEUE_PULLS_MAX: usize = 4096;
/// How long such a request may wait, in seconds: less than clients wait for an answer.
pub const QUEUE_WAIT_S_MAX: u32 = 60;
/// Who is told that items wait, for each queue.
pub const QUEUE_SUBSCRIBERS_MAX: usize = 1024;
/// Control operations out of one queue under way at once.
pub const QUEUE_JOBS_MAX: usize = 16;
/// Readings of bridges that wait for room in a full queue; then those without a receipt are dropped.
pub const QUEUE_BACKLOG_MAX: usize = 1024;
/// `[[publish]]` sections: every report is compared with each, once per node.
pub const PUBLISH_RULES_MAX: usize = 256;
/// Channels of publications that are confirmed: a node of a service for every node of a large bridge.
pub const CHANNELS_MAX: usize = 20_000;
/// Publications that wait in one channel; then the oldest goes: a recipient that stays away must not fill the disk.
pub const PARCELS_PER_CHANNEL_MAX: usize = 10_000;
/// Publications that wait in all channels; then further ones are refused.
pub const PARCELS_MAX: usize = 50_000;
/// Publications sent through one channel and not confirmed.
pub const PARCELS_IN_FLIGHT_MAX: usize = 32;
/// Times that the same item may fail its mapper, or be called wrong by its receiver, before it is set aside.
pub const POISON_ATTEMPTS: u32 = 3;
/// Nodes whose newest value can be explained.
pub const TRACED_NODES_MAX: usize = 4096;
/// Copies of one value that can be followed.
pub const TRACED_COPIES_MAX: usize = 16;
/// Items that were set aside and are kept to be looked at; then the oldest goes.
pub const DEAD_ITEMS_MAX: u64 = 1000;
/// Bytes of one item, message to a room or message with a promise: servers cut at 64 kB and above.
pub const PUBLICATION_BYTES_MAX: usize = 48 * 1024;
/// How long a receipt may take before the message is sent again, in milliseconds; it doubles.
pub const RECEIPT_WAIT_MS: u64 = 60_000;
/// How often a message is sent that nobody confirms by a receipt.
pub const RECEIPT_ATTEMPTS_MAX: u32 = 6;
/// How long an acknowledgement may take before the message is sent again, in milliseconds (qos:1.0); it doubles.
pub const QOS_WAIT_MS: u64 = 15_000;
/// How long a service or room may take to confirm, in milliseconds; it doubles.
pub const PUBLISH_WAIT_MS: u64 = 30_000;
/// Longest such wait, in milliseconds.
pub const PUBLISH_WAIT_MS_MAX: u64 = 3_600_000;
/// Shortest time between two presences with readings, in milliseconds: each goes to every contact.
pub const PRESENCE_INTERVAL_MS: u64 = 30_000;
/// Bytes of readings in presence.
pub const PRESENCE_BYTES_MAX: usize = 4096;
/// How long a room may take to let us in, in milliseconds.
pub const JOIN_DEADLINE_MS: u64 = 30_000;
/// First delay before a room is entered again, in milliseconds; it doubles.
pub const REJOIN_DELAY_MS: u64 = 5_000;
/// Longest such delay, in milliseconds.
pub const REJOIN_DELAY_MS_MAX: u64 = 600_000;
/// How often we look whether we are still in a room, in milliseconds (XEP-0410).
pub const SELF_PING_MS: u64 = 300_000;
/// Occupants of a room that we keep in mind.
pub const OCCUPANTS_MAX: usize = 1000;
/// Receipts from here on are names of what was reported, and are remembered over a crash.
pub const RECEIPT_NAMES_FROM: u64 = 1 << 32;
/// Such receipts that are written together: two kilobytes at most with each batch of reports.
pub const RECEIPT_NAMES_PER_SLOT: usize = 256;
/// So many times that are remembered of one bridge: more than a broker has under way when a host dies.
pub const RECEIPT_NAME_SLOTS: usize = 32;
/// All of that: what one bridge can be told again.
pub const RECEIPT_NAMES_MAX: usize = RECEIPT_NAMES_PER_SLOT * RECEIPT_NAME_SLOTS;
/// Assured messages of one sender that wait for their delivery.
pub const ASSURED_PER_SENDER_MAX: usize = 64;
/// Assured messages that wait for their delivery, in all.
pub const ASSURED_MAX: usize = 4096;
/// Assured messages of which we remember that they were delivered: a repetition arrives within this many.
pub const ASSURED_DONE_MAX: usize = 1024;

/// `[[http]]` sections: each request is compared with all.
pub const HTTP_RULES_MAX: usize = 256;
/// HTTP requests of one caller that are collected, carried out or answered in parts.
pub const HTTP_CALLS_PER_CALLER_MAX: usize = 8;
/// HTTP requests in all.
pub const HTTP_CALLS_MAX: usize = 64;
/// Bytes of the body of an HTTP request or answer: with all requests under way, 256 MiB at worst.
pub const HTTP_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Parts of the body of an HTTP request: what may be out of order is held in a table.
pub const HTTP_PARTS_MAX: usize = 32 * 1024;
/// Headers of an HTTP request or answer.
pub const HTTP_HEADERS_MAX: usize = 128;
/// Bytes of all headers of an HTTP request or answer, with names; they go into one stanza.
pub const HTTP_HEADERS_BYTES_MAX: usize = 16 * 1024;
/// Bytes of path and query of an HTTP request.
pub const HTTP_PATH_BYTES_MAX: usize = 8 * 1024;
/// Bytes of an HTTP answer's body that go into one stanza with its headers (the specification assumes stanzas of 10 kB).
pub const HTTP_INLINE_BYTES_MAX: usize = 6 * 1024;
/// Bytes of one part of an HTTP answer's body that is longer, if the caller does not say.
pub const HTTP_PART_BYTES: usize = 6 * 1024;
/// Least and most that a caller can say (XEP-0332 §4.2), as far as a stanza takes it: servers cut at 64 kB, and base64 takes a third more.
pub const HTTP_PART_BYTES_RANGE: std::ops::RangeInclusive<usize> = 256..=36 * 1024;
/// Parts of one HTTP answer that leave at once; then others have their turn.
pub const HTTP_PARTS_PER_TURN: usize = 32;
/// How long until its next turn, in milliseconds.
pub const HTTP_TURN_MS: u64 = 20;
/// How long the body of an HTTP request may take from one part to the next, in milliseconds.
pub const HTTP_PART_WAIT_MS: u64 = 30_000;
/// How long an HTTP endpoint may take from connecting to the last byte of its answer, in milliseconds: less than most clients wait for an iq.
pub const HTTP_DEADLINE_MS: u64 = 25_000;
/// Requests of HTTP clients of the island under way in all: with bodies and answers at their longest, 512 MiB.
pub const HTTP_PASSAGES_MAX: usize = 64;
/// And by way of one door, so that one busy client does not keep those at other doors out.
pub const HTTP_PASSAGES_PER_DOOR_MAX: usize = 16;
/// How long an HTTP client of the island waits for a whole answer, in milliseconds: an iq's time, and that of 4 MiB in parts on a slow line.
pub const HTTP_PASSAGE_MS: u64 = 120_000;
/// Connections of one door, those included whose request has not arrived.
pub const HTTP_DOOR_CONNECTIONS_MAX: usize = 64;
/// How long the head of a request may take at a door, and then its body, in milliseconds.
pub const HTTP_DOOR_READ_MS: u64 = 20_000;
/// Bytes of head of an HTTP request or answer that are held while it is read.
pub const HTTP_BUFFER_BYTES_MAX: usize = 64 * 1024;
/// HTTP requests of one bridge that are under way at once; further ones wait.
pub const HTTP_REQUESTS_UNDER_WAY_MAX: usize = 64;
/// HTTP requests of one bridge that are not answered, the waiting ones included; further ones are refused as busy.
pub const HTTP_REQUESTS_PER_BRIDGE_MAX: usize = 1024;
/// Longest time that a bridge can give an HTTP request, in milliseconds.
pub const HTTP_REQUEST_MS_MAX: u64 = 300_000;
/// HTTP connections of one bridge that are kept for a next request.
pub const HTTP_CONNECTIONS_KEPT_MAX: usize = 32;
/// How long such a connection is kept, in milliseconds: less than most servers do.
pub const HTTP_CONNECTION_KEPT_MS: u64 = 15_000;
/// How long since its last use a kept connection serves requests that must not be sent twice, in milliseconds.
pub const HTTP_CONNECTION_FRESH_MS: u64 = 1_000;
/// How long a connection may take to be ready for a next request, in milliseconds; then it is not kept.
pub const HTTP_READY_MS: u64 = 100;
/// HTTP connections to one place that a bridge serves.
pub const HTTP_SERVED_CONNECTIONS_MAX: usize = 256;
/// Those that come from one address: one peer must not keep the others out.
pub const HTTP_SERVED_CONNECTIONS_PER_PEER_MAX: usize = 32;
/// How long a client of such a place may take for the head of a request, or be silent between two, in milliseconds.
pub const HTTP_SERVED_HEAD_MS: u64 = 20_000;
/// How long it may take for the body, in milliseconds.
pub const HTTP_SERVED_BODY_MS: u64 = 20_000;
/// Bytes of such a body: with all connections in use, 256 MiB at worst.
pub const HTTP_SERVED_BODY_BYTES_MAX: usize = 1024 * 1024;
/// HTTP requests to one bridge that it has not answered; further ones are answered 503.
pub const HTTP_SERVED_REQUESTS_MAX: usize = 64;
/// How long a bridge may take to answer one, in milliseconds; then it is answered 504.
pub const HTTP_SERVED_DEADLINE_MS: u64 = 30_000;
/// Steps by which a field's name is found in other languages: more is no name.
pub const LOCALIZATION_STEPS_MAX: usize = 16;
/// Devices that one person watches in a chat.
pub const FOLLOWS_PER_PERSON_MAX: usize = 8;
/// And all people together.
pub const FOLLOWS_MAX: usize = 1000;
/// How long a person is told nothing of a device after something was said of it, in milliseconds: a chat is read by people.
pub const FOLLOW_INTERVAL_MS: u64 = 5_000;
/// How long a device is watched in a chat, in milliseconds; then the person is asked to say so again.
pub const FOLLOW_MS_MAX: u64 = 12 * 3_600_000;
