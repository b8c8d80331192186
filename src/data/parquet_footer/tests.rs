use parquet::file::reader::FileReader;

use super::*;

/// An element of a schema: an optional column or a group of so many children.
fn element(children: u32) -> Vec<u8> {
    let name = [0x18, 1, b'a'];
    let mut bytes = Vec::new();
    if children == 0 {
        // Physical type 2 (64 bits), optional.
        bytes.extend([0x15, 4, 0x25, 2]);
        bytes.extend(name);
    } else {
        bytes.extend([0x35, 0]);
        bytes.extend(name);
        bytes.push(0x15);
        varint(&mut bytes, children << 1);
    }
    bytes.push(0);
    bytes
}

fn varint(bytes: &mut Vec<u8>, mut value: u32) {
    while value >= 128 {
        bytes.push(value as u8 | 128);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// A file without rows of these elements.
fn file(elements: &[Vec<u8>]) -> Vec<u8> {
    let mut footer = vec![0x15, 2, 0x19, 0xfc];
    varint(&mut footer, elements.len() as u32);
    footer.extend(elements.concat());
    // No rows, no row groups.
    footer.extend([0x16, 0, 0x19, 0x0c, 0]);
    closed(&footer, footer.len() as u32)
}

fn closed(footer: &[u8], claimed: u32) -> Vec<u8> {
    [b"PAR1", footer, &claimed.to_le_bytes(), b"PAR1"].concat()
}

fn opened(bytes: &[u8]) -> Result<usize, String> {
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, bytes).unwrap();
    let reader = open(file).map_err(|e| e.to_string())?;
    Ok(reader.metadata().file_metadata().schema_descr().num_columns())
}

#[track_caller]
fn refused(bytes: &[u8], why: &str) {
    let e = opened(bytes).unwrap_err();
    assert!(e.contains(why), "{e}");
}

fn nested(depth: usize) -> Vec<Vec<u8>> {
    let mut elements = vec![element(1); depth];
    elements.push(element(0));
    elements
}

#[test]
fn sound_schemas_are_read_by_the_library() {
    assert_eq!(opened(&file(&[element(2), element(0), element(0)])), Ok(2));
    assert_eq!(opened(&file(&nested(MAX_DEPTH))), Ok(1));
}

#[test]
fn a_group_that_claims_more_columns_than_follow_is_refused() {
    refused(&file(&[element(2), element(0)]), "claims 2 columns, and 1 follow");
    refused(&file(&[element(i32::MAX as u32), element(0)]), "claims 2147483647 columns, and 1 follow");
    refused(&file(&[element(2), element(1), element(0)]), "ends within a group");
    // A negative number.
    let mut negative = element(1);
    let at = negative.len() - 2;
    negative[at] = 1;
    refused(&file(&[negative, element(0)]), "claims -1 columns");
}

#[test]
fn groups_that_are_nested_without_end_are_refused() {
    refused(&file(&nested(MAX_DEPTH + 1)), "more than 64 groups inside each other");
    // The library would use up the stack, and the process would end.
    refused(&file(&nested(300_000)), "more than 64 groups inside each other");
}

#[test]
fn a_number_of_children_cannot_be_hidden_from_the_check() {
    let odd = "its schema is not one of Parquet";
    // Declared as 64 bits, as text, as a list.
    for kind in [0x16, 0x18, 0x19] {
        let mut hidden = element(1);
        let at = hidden.len() - 3;
        hidden[at] = kind;
        refused(&file(&[hidden, element(0)]), odd);
    }
    // Behind the number of its field instead of the distance; the same number twice.
    let long = |more: &[u8]| [&[0x35, 0, 0x18, 1, b'a', 0x05, 10][..], more, &[0]].concat();
    assert_eq!(opened(&file(&[long(&[2]), element(0)])), Ok(1));
    refused(&file(&[long(&[0xfe, 0xff, 0xff, 0xff, 0x0f]), element(0)]), "claims 2147483647 columns");
    refused(&file(&[long(&[2, 0x05, 10, 2]), element(0)]), odd);
    // With bits that the library drops.
    refused(&file(&[long(&[0x82, 0x80, 0x80, 0x80, 0x10]), element(0)]), odd);
    refused(&file(&[long(&[0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01]), element(0)]), odd);
    // Behind a logical type whose properties are not what they are declared to be.
    let (int, text) = (4, 12);
    let logical = |physical: u8, union: &[u8]| {
        [&[0x15, physical, 0x25, 2, 0x18, 1, b'a', 0x6c], union, &[0, 0]].concat()
    };
    let known = [(text, &[0x1c, 0][..]), (int, &[0xac, 0x13, 64, 0x11, 0]), (text, &[0x0c, 40, 0])];
    for (physical, known) in known {
        assert_eq!(opened(&file(&[element(1), logical(physical, known)])), Ok(1), "{known:?}");
    }
    for hidden in [&[0x1c, 0x15, 2, 0][..], &[0x5c, 0x17, 0, 0], &[0x0c, 40, 0x15, 2, 0], &[0x18, 1, 0]] {
        refused(&file(&[element(1), logical(text, hidden)]), odd);
    }
}

#[test]
fn footers_that_do_not_fit_the_file_are_refused() {
    let whole = file(&[element(1), element(0)]);
    let footer = &whole[4..whole.len() - 8];
    refused(&closed(footer, 1 << 31), "its footer claims 2147483648 bytes");
    refused(&closed(footer, 5), "");
    for cut in 0..whole.len() {
        refused(&whole[..cut], "");
    }
    for cut in 0..footer.len() {
        refused(&closed(&footer[..cut], cut as u32), "");
    }
}
