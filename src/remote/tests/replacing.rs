//! Records that are there and of no use.

use super::*;

#[test]
fn a_record_whose_blobs_are_gone_gives_way_to_another_result_and_it_is_told() {
    for damage in ["gone", "longer", "damaged"] {
        let (lab, key) = Lab::with_result();
        let (a, b) = (Machine::new(), Machine::new());
        a.make(1, "another");
        let blob = layout::blob(&Digest::of(b"hello"));
        let anna = lab.anna();
        match damage {
            "gone" => lab.objects().remove(&blob).unwrap(),
            "longer" => lab.write(&blob, "hello!"),
            _ => {
                // Nothing but taking it shows that.
                lab.write(&blob, "hallo");
                assert!(anna.bring(&Machine::new(), &key).is_none());
            }
        }
        let outcome = anna.send(&a, &[key]);
        assert_eq!((outcome.sent, outcome.replaced, outcome.differing), (1, 1, 0), "{}", anna.told());
        assert!(anna.told().contains("model[1] was replaced there by the result of this machine: `a.txt`"));
        lab.reader().bring(&b, &key).unwrap();
        assert_eq!(b.text(&key), "another");
    }
}

#[test]
fn blobs_that_are_gone_are_sent_again() {
    let (lab, key) = Lab::with_result();
    let a = Machine::new();
    a.make(1, "hello");
    lab.objects().remove(&layout::blob(&Digest::of(b"hello"))).unwrap();
    let outcome = lab.anna().send(&a, &[key]);
    assert_eq!((outcome.sent, outcome.sent_bytes, outcome.replaced), (1, 5, 0));
    assert!(lab.reader().bring(&Machine::new(), &key).is_some());
}

#[test]
fn a_record_that_is_not_used_is_replaced_when_asked() {
    for broken in ["[]", "not even JSON"] {
        let (lab, key) = Lab::with_result();
        let a = Machine::new();
        a.make(1, "another");
        lab.write(&Lab::record_path(&key), broken);
        // Nothing tells this damage apart from a right blob but its digest.
        lab.write(&layout::blob(&Digest::of(&[0; 5000])), [1; 5000]);
        let anna = lab.anna();
        assert_eq!((anna.send(&a, &[key]).unsent, anna.remote.outcome().refused), (1, 1));
        assert!(anna.told().contains(&format!("`xpipe cache push {key} --replace` replaces it")));
        let mut anna = lab.anna();
        anna.remote = anna.remote.replacing(true);
        let outcome = anna.send(&a, &[key]);
        assert_eq!((outcome.sent, outcome.replaced, outcome.unsent), (1, 1, 0), "{}", anna.told());
        assert!(anna.told().contains("as asked with `--replace`"), "{}", anna.told());
        let b = Machine::new();
        lab.reader().bring(&b, &key).unwrap();
        assert_eq!(b.text(&key), "another");
    }
}
