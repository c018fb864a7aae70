//! Owns the answer to "is everything there that the container promised?", from its own framing: page checksums,
//! chunk sizes. It decodes nothing, and a container that promises nothing (a live recording) is intact.

use std::collections::HashMap;

use super::sniff::Container;

/// False where bytes are missing or damaged. Containers that only their reader can judge count as intact.
pub(super) fn is_intact(container: Container, bytes: &[u8]) -> bool {
    match container {
        Container::Ogg => ogg(bytes),
        Container::Wav => wav(bytes).unwrap_or(false),
        Container::Caf => caf(bytes).unwrap_or(false),
        Container::Webm | Container::Matroska => matroska(bytes).unwrap_or(false),
        Container::Mp4 => mp4(bytes),
        Container::Mpeg => mpeg(bytes).unwrap_or(true),
        Container::Flac => true,
    }
}

/// Every page has its checksum, none is missing, and every logical stream has its last page.
fn ogg(bytes: &[u8]) -> bool {
    struct Stream {
        next_page: u32,
        ended: bool,
    }
    let mut streams = HashMap::<u32, Stream>::new();
    let mut rest = bytes;
    while let Some((page, after)) = OggPage::split(rest) {
        let stream = streams.entry(page.serial).or_insert(Stream { next_page: page.number, ended: false });
        if !page.checksum_holds || page.number != stream.next_page {
            return false;
        }
        stream.next_page = page.number.wrapping_add(1);
        stream.ended = page.is_last;
        rest = after;
    }
    // Bytes behind the last page that hold no page at all are somebody's tag, not lost audio.
    let lost_sync = rest.windows(4).any(|window| window == b"OggS");
    !lost_sync && streams.values().all(|stream| stream.ended)
}

/// True for an Ogg file of whole pages only, whether or not the last one is the end of a stream.
pub(super) fn is_whole_ogg_pages(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some((page, after)) = OggPage::split(rest) {
        if !page.checksum_holds {
            return false;
        }
        rest = after;
    }
    rest.is_empty()
}

struct OggPage {
    serial: u32,
    number: u32,
    is_last: bool,
    checksum_holds: bool,
}

impl OggPage {
    const HEADER_BYTES: usize = 27;
    const CHECKSUM_AT: usize = 22;

    fn split(bytes: &[u8]) -> Option<(Self, &[u8])> {
        if !bytes.starts_with(b"OggS") {
            return None;
        }
        let segments = usize::from(*bytes.get(26)?);
        let lacing = bytes.get(Self::HEADER_BYTES..Self::HEADER_BYTES + segments)?;
        let length = Self::HEADER_BYTES + segments + lacing.iter().map(|&n| usize::from(n)).sum::<usize>();
        let (page, after) = bytes.split_at_checked(length)?;
        let word = |at| u32_le(page, at);
        let stated = word(Self::CHECKSUM_AT)?;
        let page = Self {
            serial: word(14)?,
            number: word(18)?,
            is_last: page[5] & 4 != 0,
            checksum_holds: ogg_checksum(page) == stated,
        };
        Some((page, after))
    }
}

/// CRC-32 with polynomial 0x04c11db7, not reflected, over the page with its checksum field as zeros.
fn ogg_checksum(page: &[u8]) -> u32 {
    let field = OggPage::CHECKSUM_AT..OggPage::CHECKSUM_AT + 4;
    page.iter().enumerate().fold(0, |crc: u32, (at, &byte)| {
        let byte = if field.contains(&at) { 0 } else { byte };
        (crc << 8) ^ CRC_TABLE[usize::from((crc >> 24) as u8 ^ byte)]
    })
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = (index as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000_0000 == 0 { crc << 1 } else { (crc << 1) ^ 0x04c1_1db7 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

/// The data chunk fits into the file, or its size says that it was written as a stream.
fn wav(bytes: &[u8]) -> Option<bool> {
    /// Programs that cannot go back write this or more: 0x7ffff000, 0x7fffffff, 0xffffffff.
    const STREAMED: u32 = 0x7fff_0000;
    let mut at = 12;
    loop {
        let size = u32_le(bytes, at + 4)?;
        let data = at + 8;
        if bytes.get(at..at + 4)? == b"data" {
            return Some(size == 0 || size >= STREAMED || size as usize <= bytes.len().saturating_sub(data));
        }
        // Chunks are padded to even lengths.
        at = data.checked_add(size as usize)?.checked_next_multiple_of(2)?;
    }
}

fn caf(bytes: &[u8]) -> Option<bool> {
    let mut at = 8_usize;
    loop {
        let size = i64::from_be_bytes(bytes.get(at + 4..at + 12)?.try_into().ok()?);
        let data = at + 12;
        if bytes.get(at..at + 4)? == b"data" {
            let room = bytes.len().saturating_sub(data) as u64;
            return Some(size < 0 || size.unsigned_abs() <= room);
        }
        at = data.checked_add(usize::try_from(size).ok()?)?;
    }
}

/// The last box at the top ends where the file ends.
fn mp4(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(head) = rest.get(..8) {
        let size = match [head[0], head[1], head[2], head[3]].map(u32::from) {
            // Up to the end of the file.
            [0, 0, 0, 0] => return true,
            [0, 0, 0, 1] => rest.get(8..16).and_then(|size| size.try_into().ok()).map(u64::from_be_bytes),
            [a, b, c, d] => Some(u64::from(a << 24 | b << 16 | c << 8 | d)),
        };
        let Some(after) = size.filter(|&size| size >= 8).and_then(|size| rest.get(usize::try_from(size).ok()?..))
        else {
            return false;
        };
        rest = after;
    }
    true
}

/// The stream has as many bytes as the encoder's note in its first frame says; `None` without such a note.
fn mpeg(bytes: &[u8]) -> Option<bool> {
    const FRAMES_STATED: u8 = 1;
    const BYTES_STATED: u8 = 2;
    let stream = match bytes {
        [b'I', b'D', b'3', _, _, _, a, b, c, d, ..] => {
            let tag = [a, b, c, d].iter().fold(0_usize, |size, &&byte| size << 7 | usize::from(byte & 0x7f));
            bytes.get(10 + tag..)?
        }
        _ => bytes,
    };
    // It stands behind 4 bytes of header and at most 32 of side information.
    let note_at = stream.get(..44)?.windows(4).position(|word| word == b"Xing" || word == b"Info")?;
    let note = &stream[note_at..];
    let flags = *note.get(7)?;
    if flags & BYTES_STATED == 0 {
        return None;
    }
    let stated_at = if flags & FRAMES_STATED == 0 { 8 } else { 12 };
    let stated = u32::from_be_bytes(note.get(stated_at..stated_at + 4)?.try_into().ok()?);
    Some(stated as usize <= stream.len())
}

/// Every element ends within the file. A live recording states no sizes for segment and clusters; its blocks do.
fn matroska(bytes: &[u8]) -> Option<bool> {
    const SEGMENT: &[u8] = b"\x18\x53\x80\x67";
    const CLUSTER: &[u8] = b"\x1f\x43\xb6\x75";
    let mut rest = bytes;
    while let Some(first) = rest.first() {
        let (id, body) = rest.split_at_checked(first.leading_zeros() as usize + 1)?;
        let (size, content) = ebml_size(body)?;
        let fits = size.is_none_or(|size| size <= content.len() as u64);
        if !fits {
            return Some(false);
        }
        // What these two hold is looked at piece by piece.
        rest = if id == SEGMENT || id == CLUSTER { content } else { content.get(usize::try_from(size?).ok()?..)? };
    }
    Some(true)
}

/// A variable-length size, `None` for "unknown", and what follows it.
fn ebml_size(bytes: &[u8]) -> Option<(Option<u64>, &[u8])> {
    let first = *bytes.first()?;
    let length = first.leading_zeros() as usize + 1;
    let (field, rest) = bytes.split_at_checked(length)?;
    if length > 8 {
        return None;
    }
    let size = field.iter().fold(0_u64, |size, &byte| size << 8 | u64::from(byte));
    let mask = (1_u64 << (7 * length)) - 1;
    let size = size & mask;
    Some(((size != mask).then_some(size), rest))
}

fn u32_le(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(serial: u32, number: u32, last: bool, body: &[u8]) -> Vec<u8> {
        let mut page = b"OggS\0".to_vec();
        page.push(if last { 4 } else { 0 });
        page.extend([0; 8]);
        page.extend(serial.to_le_bytes());
        page.extend(number.to_le_bytes());
        page.extend([0; 4]);
        page.extend([1, body.len() as u8]);
        page.extend(body);
        let crc = ogg_checksum(&page);
        page[22..26].copy_from_slice(&crc.to_le_bytes());
        page
    }

    #[test]
    fn an_ogg_file_is_whole_when_every_page_is_there_and_the_last_one_says_so() {
        let [first, second, last] = [page(7, 0, false, b"a"), page(7, 1, false, b"b"), page(7, 2, true, b"c")];
        assert!(ogg(&[&first[..], &second, &last].concat()));
        assert!(ogg(&[&first[..], &second, &last, b"a tag"].concat()), "a tag behind the audio");
        assert!(!ogg(&[&first[..], &last].concat()), "a page is missing");
        assert!(!ogg(&[&first[..], &second].concat()), "no last page");
        assert!(!ogg(&[&first[..], &second, &last[..last.len() - 1]].concat()), "cut within a page");
        let mut flipped = [&first[..], &second, &last].concat();
        flipped[28] ^= 1;
        assert!(!ogg(&flipped), "a flipped bit");
    }

    #[test]
    fn chained_ogg_streams_each_need_their_last_page() {
        let whole = [page(1, 0, true, b"a"), page(2, 0, true, b"b")].concat();
        assert!(ogg(&whole));
        assert!(!ogg(&[page(1, 0, true, b"a"), page(2, 0, false, b"b")].concat()));
    }

    #[test]
    fn a_wav_that_promises_more_than_it_holds_is_not_whole_unless_it_was_streamed() {
        let wav_of = |size: u32| [b"RIFF\0\0\0\0WAVE".as_slice(), b"data", &size.to_le_bytes(), &[0; 100]].concat();
        assert_eq!(wav(&wav_of(100)), Some(true));
        assert_eq!(wav(&wav_of(101)), Some(false));
        assert_eq!(wav(&wav_of(u32::MAX)), Some(true));
        assert_eq!(wav(b"RIFF\0\0\0\0WAVE"), None);
    }

    #[test]
    fn a_live_webm_promises_nothing() {
        let webm = |size: &[u8]| [b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67", size, b"\xa3\x8a", &[0; 10]].concat();
        let live = b"\x01\xff\xff\xff\xff\xff\xff\xff";
        assert_eq!(matroska(&webm(live)), Some(true));
        assert_eq!(matroska(&webm(b"\x8c")), Some(true));
        assert_eq!(matroska(&webm(b"\x8d")), Some(false));
        assert_eq!(matroska(&webm(b"\x00")), None);
        let mut cut = webm(live);
        cut.pop();
        assert_eq!(matroska(&cut), Some(false), "cut within a block");
    }

    #[test]
    fn an_mp4_whose_last_box_is_cut_is_not_whole() {
        let boxes = |size: u32| [b"\0\0\0\x08free".as_slice(), &size.to_be_bytes(), b"mdat", &[7; 20]].concat();
        assert!(mp4(&boxes(28)));
        assert!(mp4(&boxes(0)), "up to the end");
        assert!(!mp4(&boxes(29)));
        assert!(!mp4(&boxes(7)), "smaller than its own head");
        assert!(!mp4(&boxes(1)), "a long size that is nonsense");
    }

    #[test]
    fn an_mp3_that_is_shorter_than_its_encoder_noted_is_not_whole() {
        let mp3 = |stated: u32| {
            let mut file = b"\xff\xfb\x90\x00".to_vec();
            file.extend([0; 32]);
            file.extend(b"Info\0\0\0\x03\0\0\0\x09");
            file.extend(stated.to_be_bytes());
            file.resize(500, 0);
            file
        };
        assert_eq!(mpeg(&mp3(500)), Some(true));
        assert_eq!(mpeg(&mp3(501)), Some(false));
        assert_eq!(mpeg(&[b"ID3\x04\0\0\0\0\0\x05tags!".as_slice(), &mp3(501)].concat()), Some(false));
        assert_eq!(mpeg(&[0xff; 100]), None);
    }

    #[test]
    fn sizes_at_the_edge_of_arithmetic_are_survived() {
        assert_eq!(caf(&[b"caff\0\x01\0\0free".as_slice(), &i64::MAX.to_be_bytes()].concat()), None);
        assert_eq!(caf(&[b"caff\0\x01\0\0free".as_slice(), &(-5_i64).to_be_bytes()].concat()), None);
        assert_eq!(wav(b"RIFF\0\0\0\0WAVEjunk\xff\xff\xff\xff"), None);
    }
}
