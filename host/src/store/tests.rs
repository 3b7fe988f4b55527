//! What the store promises: durability, order, accounts that balance, and files that are torn, old or broken.

use super::*;

type Events = mpsc::Receiver<StoreEvent>;

fn open(state: &Path) -> (Store, Contents, Events) {
    let (sender, events) = mpsc::channel(64);
    let (store, contents) = Store::open(state, sender).unwrap();
    (store, contents, events)
}

/// Item numbers told durable until there are this many.
fn durable(events: &mut Events, count: usize) -> Vec<u64> {
    let mut items = Vec::new();
    while items.len() < count {
        match events.blocking_recv().unwrap() {
            StoreEvent::Durable(more) => items.extend(more),
            other => panic!("{other:?}"),
        }
    }
    items
}

fn item(number: u64) -> (Item, Arc<[u8]>) {
    let item = Item { number, route: Route::new("home", "event") };
    (item, format!("<message id='{number}'/>").into_bytes().into())
}

fn account(contents: &Contents) -> Account {
    contents.accounts.get("home/event").copied().unwrap_or_default()
}

fn state(version: u32, text: &str) -> State {
    State { version, bytes: text.as_bytes().to_vec() }
}

#[test]
fn a_new_state_directory_is_empty_and_nobody_elses_business() {
    use std::os::unix::fs::PermissionsExt;
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("deep/state");
    let (_store, contents, _events) = open(&directory);
    assert_eq!(contents, Contents { next_item: 1, ..Contents::default() });
    assert_eq!(std::fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn what_was_told_durable_is_there_after_a_restart_in_order() {
    let place = tempfile::tempdir().unwrap();
    let (store, _, mut events) = open(place.path());
    for first in [1, 11, 21] {
        store.append((first..first + 10).map(item).collect()).unwrap();
    }
    assert_eq!(durable(&mut events, 30), (1..=30).collect::<Vec<_>>());
    drop(store);
    let (_store, contents, _events) = open(place.path());
    assert_eq!(contents.items, (1..=30).map(item).collect::<Vec<_>>());
    assert_eq!(contents.next_item, 31);
}

#[test]
fn removed_items_are_gone_and_their_numbers_are_not_used_again() {
    let place = tempfile::tempdir().unwrap();
    let (store, _, mut events) = open(place.path());
    store.append((1..=3).map(item).collect()).unwrap();
    durable(&mut events, 3);
    store.remove(&[1, 3], &End::Delivered);
    assert!(store.close());
    let (store, contents, mut events) = open(place.path());
    assert_eq!(contents.items, vec![item(2)]);
    store.remove(&[2], &End::Expired);
    store.remove(&[2, 99], &End::Refused);
    // Removed at once: told durable all the same, and never read back.
    store.append(vec![item(4)]).unwrap();
    store.remove(&[4], &End::Delivered);
    assert_eq!(durable(&mut events, 1), vec![4]);
    assert!(store.close());
    let (_store, contents, _events) = open(place.path());
    assert_eq!((&contents.items, contents.next_item), (&Vec::new(), 5));
    assert_eq!(account(&contents), Account { taken: 4, delivered: 3, expired: 1, ..Account::default() });
}

#[test]
fn the_newest_checkpoint_of_each_bridge_stays() {
    let place = tempfile::tempdir().unwrap();
    let (store, _, _events) = open(place.path());
    store.checkpoint("home", state(1, "old"));
    store.checkpoint("home", state(2, "new"));
    store.checkpoint("plant", state(7, ""));
    store.checkpoint("gone", state(1, "x"));
    store.forget("gone");
    assert!(store.close());
    let (_store, contents, _events) = open(place.path());
    let wanted = [("home".to_owned(), state(2, "new")), ("plant".to_owned(), state(7, ""))];
    assert_eq!(contents.checkpoints, BTreeMap::from(wanted));
}

#[test]
fn records_stay_until_they_are_let_go_and_are_told_durable_where_somebody_waits() {
    let place = tempfile::tempdir().unwrap();
    let (store, _, mut events) = open(place.path());
    store.record("a/1", Some(b"old".to_vec()), Some(7));
    store.record("a/1", Some(b"new".to_vec()), None);
    store.record("a/2", Some(Vec::new()), Some(9));
    assert_eq!(durable(&mut events, 2), vec![7, 9]);
    store.record("a/2", None, None);
    assert!(store.close());
    let (_store, contents, _events) = open(place.path());
    assert_eq!(contents.records, BTreeMap::from([("a/1".to_owned(), b"new".to_vec())]));
    assert_eq!(contents.next_item, 10);
}

#[test]
fn a_full_channel_of_the_app_delays_no_write_and_loses_no_answer() {
    let place = tempfile::tempdir().unwrap();
    let (sender, mut events) = mpsc::channel(1);
    let (store, _) = Store::open(place.path(), sender).unwrap();
    for number in 1..=200 {
        store.append(vec![item(number)]).unwrap();
    }
    assert_eq!(durable(&mut events, 200), (1..=200).collect::<Vec<_>>());
}

#[test]
fn closing_does_not_wait_for_an_app_that_no_longer_listens() {
    let place = tempfile::tempdir().unwrap();
    let (sender, _events) = mpsc::channel(1);
    let (store, _) = Store::open(place.path(), sender).unwrap();
    for number in 1..=50 {
        store.append(vec![item(number)]).unwrap();
    }
    assert!(store.close());
    let (_store, contents, _events) = open(place.path());
    assert_eq!(contents.items.len(), 50);
}

#[test]
fn more_than_the_outbox_holds_is_refused_whole() {
    let place = tempfile::tempdir().unwrap();
    let (store, _, _events) = open(place.path());
    let many = (0..=limits::OUTBOX_STANZAS_MAX as u64).map(|number| (item(number).0, Arc::default())).collect();
    assert_eq!(store.append(many), Err(StoreFull));
    assert!(store.close());
    assert_eq!(open(place.path()).1.items, Vec::new());
}

#[test]
fn a_second_tombolo_on_the_same_directory_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let _first = open(place.path());
    let error = Store::open(place.path(), mpsc::channel(1).0).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    assert!(error.to_string().contains("another tombolo"), "{error}");
}

#[test]
fn a_file_that_is_no_database_is_named_as_damaged_and_left_alone() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("tombolo.redb");
    for content in [&b"not a database at all"[..], &[0xff; 100_000][..]] {
        std::fs::write(&path, content).unwrap();
        let error = Store::open(place.path(), mpsc::channel(1).0).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
        assert!(error.to_string().contains("tombolo.redb is damaged"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
}

#[test]
fn a_broken_database_gives_an_error_wherever_it_is_broken() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("tombolo.redb");
    let (store, _, _events) = open(place.path());
    store.append((1..=500).map(item).collect()).unwrap();
    assert!(store.close());
    std::fs::remove_file(place.path().join("backup.redb")).unwrap();
    let whole = std::fs::read(&path).unwrap();
    for length in [1, 64, 320, 4096, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let outcome = Store::open(place.path(), mpsc::channel(1).0);
        assert!(matches!(outcome, Err(StoreError::Damaged { .. })), "cut at {length}: {outcome:?}");
    }
    for start in (0..whole.len()).step_by(whole.len() / 40) {
        let mut broken = whole.clone();
        broken.iter_mut().skip(start).take(5000).for_each(|byte| *byte = !*byte);
        std::fs::write(&path, &broken).unwrap();
        let _ = std::fs::remove_file(place.path().join("backup.redb"));
        // Free pages may be broken without harm; anything else is an error, never a panic and never other items.
        match Store::open(place.path(), mpsc::channel(1).0) {
            Ok((_, contents)) => assert_eq!(contents.items.len(), 500, "broken at {start}"),
            Err(error) => assert!(matches!(error, StoreError::Damaged { .. }), "broken at {start}: {error:?}"),
        }
    }
}

/// As a program does that knows nothing of us, and slowly, so that much is written meanwhile.
fn copy_directory(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let Ok(mut file) = std::fs::File::open(entry.path()) else { continue };
        let mut copy = std::fs::File::create(to.join(entry.file_name())).unwrap();
        let mut chunk = [0; 16 * 1024];
        loop {
            let count = std::io::Read::read(&mut file, &mut chunk).unwrap();
            if count == 0 {
                break;
            }
            std::io::Write::write_all(&mut copy, &chunk[..count]).unwrap();
            std::thread::yield_now();
        }
    }
}

/// Items without a gap, and the checkpoint that was handed over after the last of them or after the one before.
fn is_of_one_instant(contents: &Contents) -> bool {
    let Some((first, _)) = contents.items.first() else { return contents.checkpoints.is_empty() };
    let last = contents.next_item - 1;
    let version = contents.checkpoints.get("home").map_or(0, |state| u64::from(state.version));
    let is_balanced = contents.accounts.values().all(Account::balances);
    is_balanced
        && contents.items == (first.number..=last).map(item).collect::<Vec<_>>()
        && (last - 1..=last).contains(&version)
}

#[test]
fn a_copy_of_the_directory_taken_under_load_starts_with_the_state_of_one_instant() {
    let place = tempfile::tempdir().unwrap();
    let (sender, mut events) = mpsc::channel(64);
    let (store, _) = Store::open_with(place.path(), Duration::from_millis(2), sender).unwrap();
    let is_enough = std::sync::atomic::AtomicBool::new(false);
    let (mut torn, mut newest) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1.. {
                store.append(vec![item(number)]).unwrap();
                store.checkpoint("home", state(u32::try_from(number).unwrap(), "x"));
                // Space that becomes free is used again, which is what tears a copy.
                store.remove(&[number.saturating_sub(50)], &End::Delivered);
                durable(&mut events, 1);
                if is_enough.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
            }
        });
        for _ in 0..30 {
            let elsewhere = tempfile::tempdir().unwrap();
            copy_directory(place.path(), elsewhere.path());
            let (restored, contents, _events) = open(elsewhere.path());
            assert!(is_of_one_instant(&contents), "{contents:?}");
            newest = newest.max(contents.next_item);
            assert!(restored.close());
            torn += usize::from(elsewhere.path().join("tombolo.redb.damaged").exists());
        }
        is_enough.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(newest > 1, "there was load; {torn} of 30 copies were torn");
}

#[test]
fn a_torn_file_is_put_aside_and_the_copy_takes_its_place() {
    let place = tempfile::tempdir().unwrap();
    let (store, _, _events) = open(place.path());
    store.append((1..=500).map(item).collect()).unwrap();
    store.checkpoint("home", state(3, "kept"));
    store.record("promise", Some(b"kept too".to_vec()), None);
    assert!(store.close());
    // Opening writes the copy anew.
    let (store, before, _events) = open(place.path());
    assert!(store.close());
    let path = place.path().join("tombolo.redb");
    let mut torn = std::fs::read(&path).unwrap();
    torn.truncate(torn.len() / 2);
    std::fs::write(&path, &torn).unwrap();
    let (_store, contents, _events) = open(place.path());
    assert_eq!(contents, before);
    assert_eq!(std::fs::read(place.path().join("tombolo.redb.damaged")).unwrap(), torn);
}

#[test]
fn a_newer_schema_is_refused() {
    let place = tempfile::tempdir().unwrap();
    drop(open(place.path()));
    tables::tests::set_schema(&file::open(&place.path().join("tombolo.redb")).unwrap(), 99);
    let error = Store::open(place.path(), mpsc::channel(1).0).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error:?}");
}

#[test]
fn a_file_of_the_first_schema_is_taken_over_and_its_items_are_taken_before() {
    let place = tempfile::tempdir().unwrap();
    let database = file::open(&place.path().join("tombolo.redb")).unwrap();
    tables::tests::make_old(&database, &[(3, b"<a/>"), (5, b"<b/>")], &[("queue/q/07", b"q"), ("wish/1", b"w")]);
    drop(database);
    for _ in 0..2 {
        let (store, contents, _events) = open(place.path());
        assert_eq!(contents.items.iter().map(|(item, _)| item.number).collect::<Vec<_>>(), [3, 5]);
        assert_eq!((contents.records.len(), contents.next_item), (2, 9));
        let wanted = Account { taken: 3, waiting: 3, ..Account::default() };
        assert_eq!(contents.accounts, BTreeMap::from([(Route::new("", "before"), wanted)]));
        assert!(store.close());
    }
    let (store, _, _events) = open(place.path());
    store.remove(&[3], &End::Delivered);
    store.end("queue/q/07", End::Expired);
    assert!(store.close());
    let after = open(place.path()).1.accounts;
    let wanted = Account { taken: 3, delivered: 1, expired: 1, waiting: 1, ..Account::default() };
    assert_eq!(after.get("/before"), Some(&wanted));
}

#[test]
fn a_record_in_custody_begins_once_and_ends_once_also_within_one_transaction() {
    let place = tempfile::tempdir().unwrap();
    let (store, _, mut events) = open(place.path());
    let taken = |number| Item { number, route: Route::new("home", "publish:node") };
    store.take("publish/1", b"one".to_vec(), taken(1));
    store.record("publish/1", Some(b"one, with its holder".to_vec()), None);
    store.take("publish/2", b"two".to_vec(), taken(2));
    store.end("publish/2", End::Refused);
    assert_eq!(durable(&mut events, 2), [1, 2]);
    store.record("publish/1", Some(b"one, again".to_vec()), None);
    store.take("publish/3", b"three".to_vec(), taken(3));
    assert_eq!(durable(&mut events, 1), [3]);
    store.end("publish/3", End::Delivered);
    store.end("publish/3", End::Refused);
    store.record("publish/3", None, Some(4));
    assert_eq!(durable(&mut events, 1), [4]);
    let wanted = Account { taken: 3, delivered: 1, refused: 1, waiting: 1, ..Account::default() };
    assert_eq!(store.custody(), BTreeMap::from([(Route::new("home", "publish:node"), wanted)]));
    assert!(store.close());
    assert_eq!(open(place.path()).1.accounts.get("home/publish:node"), Some(&wanted));
}

#[test]
fn what_is_dead_is_kept_with_its_reason_until_it_is_dropped_or_displaced() {
    let place = tempfile::tempdir().unwrap();
    let (store, _, mut events) = open(place.path());
    store.append(vec![item(1), item(2)]).unwrap();
    durable(&mut events, 2);
    store.remove(&[1], &End::dead("it cannot be read"));
    let taken = Item { number: 3, route: Route::new("", "queue:jobs") };
    store.take("queue/jobs/03", b"job".to_vec(), taken);
    store.end("queue/jobs/03", End::dead("tried too often"));
    durable(&mut events, 1);
    let found = store.dead(None).blocking_recv().unwrap();
    let seen: Vec<_> = found.iter().map(|dead| (dead.id, &*dead.route, &*dead.reason, &*dead.name)).collect();
    let first = (1, "home/event", "it cannot be read", "");
    assert_eq!(seen, [first, (2, "/queue:jobs", "tried too often", "queue/jobs/03")]);
    assert_eq!((&*found[0].content, &*found[1].content), (&*item(1).1, &b"job"[..]));
    store.unbury(1);
    store.unbury(2);
    let many: Vec<u64> = (10..10 + limits::DEAD_ITEMS_MAX + 5).collect();
    store.append(many.iter().map(|number| item(*number)).collect()).unwrap();
    store.remove(&many, &End::dead("all of them"));
    durable(&mut events, many.len());
    let found = store.dead(None).blocking_recv().unwrap();
    assert_eq!((found.len() as u64, found[0].id), (limits::DEAD_ITEMS_MAX, 8), "the oldest made room");
    assert_eq!(store.dead(Some(9)).blocking_recv().unwrap()[0].id, 9);
    assert!(store.custody().values().all(Account::balances));
}

#[test]
fn an_item_that_vanished_is_told_and_shown_and_never_mended() {
    let place = tempfile::tempdir().unwrap();
    let (store, _, mut events) = open(place.path());
    store.append(vec![item(1), item(2)]).unwrap();
    durable(&mut events, 2);
    assert!(store.close());
    tables::tests::steal(&file::open(&place.path().join("tombolo.redb")).unwrap(), 1);
    for _ in 0..2 {
        let (store, contents, _events) = open(place.path());
        assert_eq!(account(&contents), Account { taken: 2, waiting: 1, ..Account::default() });
        assert!(!account(&contents).balances());
        assert!(store.close());
    }
}

#[test]
fn the_accounts_balance_at_every_instant_of_any_sequence_and_after_every_restart() {
    let place = tempfile::tempdir().unwrap();
    let mut seed = 7_u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let (mut number, mut taken, mut alive) = (0, 0, Vec::new());
    for _ in 0..8 {
        let (store, contents, mut events) = open(place.path());
        assert!(contents.accounts.values().all(Account::balances), "{:?}", contents.accounts);
        assert_eq!(contents.accounts.values().map(|one| one.waiting).sum::<u64>(), alive.len() as u64);
        for _ in 0..200 {
            number += 1;
            let is_record = random(2) == 0;
            match (random(3), is_record) {
                (0, true) => store.take(&format!("publish/{number}"), Vec::new(), item(number).0),
                (0, false) => store.append(vec![item(number)]).unwrap(),
                _ if alive.is_empty() => continue,
                (_, again) => {
                    let (number, is_record) = alive.swap_remove(random(alive.len() as u64) as usize);
                    let end = [End::Delivered, End::Expired, End::Refused, End::dead("x")][random(4) as usize].clone();
                    for _ in 0..=usize::from(again) {
                        match is_record {
                            true => store.end(&format!("publish/{number}"), end.clone()),
                            false => store.remove(&[number], &end),
                        }
                    }
                    continue;
                }
            }
            taken += 1;
            alive.push((number, is_record));
            if random(5) == 0 {
                while events.try_recv().is_ok() {}
                assert!(store.custody().values().all(Account::balances));
            }
        }
        assert!(store.close());
    }
    let accounts = open(place.path()).1.accounts;
    assert_eq!(accounts.values().map(|account| account.taken).sum::<u64>(), taken);
}
