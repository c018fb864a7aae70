//! Owns the answer to "what are these bytes?": the container by its first bytes, and the name of a codec that cannot be
//! decoded here. It never looks at names or declared types, and it decodes nothing.

/// Containers that are read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    Ogg,
    Wav,
    Flac,
    Caf,
    /// ISO base media, whatever its brand: m4a, mp4, 3gp, mov.
    Mp4,
    Webm,
    Matroska,
    /// A bare MPEG stream, perhaps behind ID3 tags: mp3 or ADTS, which only its frames tell.
    Mpeg,
}

/// What the first bytes say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Container(Container),
    /// A speech format without a decoder here.
    Codec {
        container: &'static str,
        codec: &'static str,
    },
    /// Something else, by name where it is known.
    Other(&'static str),
}

pub(super) fn identify(bytes: &[u8]) -> Found {
    undecodable(bytes).or_else(|| container(bytes).map(Found::Container)).unwrap_or_else(|| Found::Other(other(bytes)))
}

fn undecodable(bytes: &[u8]) -> Option<Found> {
    const MAGICS: [(&[u8], &str, &str); 6] = [
        (b"#!AMR-WB", "amr", "amr_wb"),
        (b"#!AMR", "amr", "amr_nb"),
        (b"#!SILK", "silk", "silk"),
        (b"\x02#!SILK", "silk", "silk"),
        (b"#!EVC", "evs", "evs"),
        (b"\x0b\x77", "ac3", "ac3"),
    ];
    if let Some((_, container, codec)) = MAGICS.iter().find(|(magic, ..)| bytes.starts_with(magic)) {
        return Some(Found::Codec { container, codec });
    }
    // The Ogg reader searches the whole file for a stream it knows and then says that the file ended.
    match ogg_first_packet(bytes)? {
        packet if packet.starts_with(b"Speex   ") => Some(Found::Codec { container: "ogg", codec: "speex" }),
        packet if packet.starts_with(b"CELT    ") => Some(Found::Codec { container: "ogg", codec: "celt" }),
        _ => None,
    }
}

fn container(bytes: &[u8]) -> Option<Container> {
    let at = |offset: usize, magic: &[u8]| bytes.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    if at(0, b"OggS") {
        Some(Container::Ogg)
    } else if at(0, b"RIFF") && at(8, b"WAVE") {
        Some(Container::Wav)
    } else if at(0, b"fLaC") {
        Some(Container::Flac)
    } else if at(0, b"caff") {
        Some(Container::Caf)
    } else if at(0, b"\x1a\x45\xdf\xa3") {
        let webm = find(&bytes[..bytes.len().min(64)], b"webm").is_some();
        Some(if webm { Container::Webm } else { Container::Matroska })
    } else if [b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide"].iter().any(|atom| at(4, *atom)) {
        Some(Container::Mp4)
    } else if at(0, b"ID3") || matches!(bytes, [0xff, second, ..] if second & 0xe0 == 0xe0) {
        Some(Container::Mpeg)
    } else {
        None
    }
}

/// Names what people do send by mistake, an error page of a web server among it.
fn other(bytes: &[u8]) -> &'static str {
    const MAGICS: [(&[u8], &str); 10] = [
        (b"%PDF", "PDF"),
        (b"\x30\x26\xb2\x75", "ASF (Windows Media)"),
        (b"FORM", "AIFF or another IFF file"),
        (b"RIFF", "a RIFF file without sound (AVI, WebP)"),
        (b"\x89PNG", "a PNG picture"),
        (b"\xff\xd8", "a JPEG picture"),
        (b"GIF8", "a GIF picture"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b"MThd", "MIDI"),
        (b"MZ", "a program"),
    ];
    if let Some((_, name)) = MAGICS.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return name;
    }
    let text = bytes.trim_ascii_start();
    match text.first() {
        Some(b'<') => "HTML or XML",
        Some(b'{' | b'[') => "JSON",
        _ => "something unknown",
    }
}

/// The codec inside `container`, for an error that says what was found. `None` where it cannot be told.
pub(super) fn codec(container: Container, bytes: &[u8]) -> Option<String> {
    match container {
        Container::Ogg => ogg_codec(bytes),
        Container::Wav => wave_format_tag(bytes).map(wave_codec),
        Container::Mp4 => mp4_codec(bytes).map(str::to_owned),
        Container::Webm | Container::Matroska => matroska_codec(bytes).map(str::to_owned),
        Container::Flac | Container::Caf | Container::Mpeg => None,
    }
}

fn ogg_codec(bytes: &[u8]) -> Option<String> {
    const MAGICS: [(&[u8], &str); 4] = [
        (b"\x80theora", "theora"),
        (b"\x01vorbis", "vorbis"),
        (b"\x7fFLAC", "flac"),
        (b"fishead", "a skeleton stream"),
    ];
    let packet = ogg_first_packet(bytes)?;
    if packet.starts_with(b"OpusHead") {
        return Some(match packet.get(9) {
            Some(channels @ 3..) => format!("opus with {channels} channels"),
            _ => "opus".to_owned(),
        });
    }
    MAGICS.iter().find(|(magic, _)| packet.starts_with(magic)).map(|(_, name)| (*name).to_owned())
}

/// It follows 27 bytes of page header and as many lacing bytes as the last of them says.
fn ogg_first_packet(bytes: &[u8]) -> Option<&[u8]> {
    bytes.starts_with(b"OggS").then(|| bytes.get(27 + usize::from(*bytes.get(26)?)..))?
}

fn wave_format_tag(bytes: &[u8]) -> Option<u16> {
    let at = find(&bytes[..bytes.len().min(4_096)], b"fmt ")?;
    Some(u16::from_le_bytes(bytes.get(at + 8..at + 10)?.try_into().ok()?))
}

fn wave_codec(tag: u16) -> String {
    match tag {
        0x0001 | 0x0003 | 0xfffe => "pcm".to_owned(),
        0x0002 => "adpcm_ms".to_owned(),
        0x0006 => "pcm_alaw".to_owned(),
        0x0007 => "pcm_mulaw".to_owned(),
        0x0011 => "adpcm_ima_wav".to_owned(),
        0x0031 => "gsm".to_owned(),
        0x0040 | 0x0045 | 0x0064 => "g726".to_owned(),
        0x0050 => "mp2".to_owned(),
        0x0055 => "mp3".to_owned(),
        0x0083 | 0x0133 => "g729".to_owned(),
        0x00ff | 0x1600 => "aac".to_owned(),
        0x0160..=0x0163 => "wma".to_owned(),
        0xa109 => "speex".to_owned(),
        other => format!("WAVE format 0x{other:04x}"),
    }
}

fn mp4_codec(bytes: &[u8]) -> Option<&'static str> {
    const SOUND: [(&[u8; 4], &str); 11] = [
        (b"samr", "amr_nb"),
        (b"sawb", "amr_wb"),
        (b"sawp", "amr_wb_plus"),
        (b"sevc", "evrc"),
        (b"sqcp", "qcelp"),
        (b"ac-3", "ac3"),
        (b"ec-3", "eac3"),
        (b"ac-4", "ac4"),
        (b"agsm", "gsm"),
        (b"Opus", "opus"),
        (b"mp4a", "aac"),
    ];
    // A sample description: its name, version and flags, a count, then the first entry's size and name.
    let mut rest = bytes;
    while let Some(at) = find(rest, b"stsd") {
        rest = &rest[at + 4..];
        let entry = rest.get(12..16);
        if let Some((_, name)) = SOUND.iter().find(|(fourcc, _)| entry == Some(fourcc.as_slice())) {
            return Some(name);
        }
    }
    None
}

fn matroska_codec(bytes: &[u8]) -> Option<&'static str> {
    let head = &bytes[..bytes.len().min(16_384)];
    ["A_AC3", "A_EAC3", "A_DTS", "A_TRUEHD", "A_MPEG/L2", "A_QUICKTIME", "A_MS/ACM", "A_OPUS"]
        .into_iter()
        .find(|name| find(head, name.as_bytes()).is_some())
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speech_formats_without_a_decoder_are_named() {
        let amr = |codec| Found::Codec { container: "amr", codec };
        assert_eq!(identify(b"#!AMR\n\x3c"), amr("amr_nb"));
        assert_eq!(identify(b"#!AMR-WB\n\x04"), amr("amr_wb"));
        assert_eq!(identify(b"\x02#!SILK_V3"), Found::Codec { container: "silk", codec: "silk" });
    }

    #[test]
    fn what_is_no_audio_is_named_where_it_is_known() {
        assert_eq!(identify(b"%PDF-1.7"), Found::Other("PDF"));
        assert_eq!(identify(b"\r\n<!doctype html>"), Found::Other("HTML or XML"));
        assert_eq!(identify(b"\x12\x34\x56"), Found::Other("something unknown"));
        assert_eq!(identify(b""), Found::Other("something unknown"));
    }

    #[test]
    fn mp4_is_known_by_whichever_box_comes_first() {
        for head in [b"\0\0\0\x14ftyp3gp4", b"\0\0\0\x14ftypM4A ", b"\0\0\0\x08wide\0\0\0\0"] {
            assert_eq!(identify(head), Found::Container(Container::Mp4));
        }
    }

    #[test]
    fn webm_is_told_from_other_matroska() {
        assert_eq!(identify(b"\x1a\x45\xdf\xa3\x87\x42\x82\x84webm"), Found::Container(Container::Webm));
        assert_eq!(identify(b"\x1a\x45\xdf\xa3\x8b\x42\x82\x88matroska"), Found::Container(Container::Matroska));
    }

    #[test]
    fn the_codec_of_a_file_that_is_cut_anywhere_is_looked_for_within_bounds() {
        let page = [b"OggS".as_slice(), &[0; 22], &[1, 80], b"Speex   1.2"].concat();
        assert_eq!(identify(&page), Found::Codec { container: "ogg", codec: "speex" });
        let wav = b"RIFF\0\0\0\0WAVEfmt \x14\0\0\0\x31\0";
        assert_eq!(codec(Container::Wav, wav).as_deref(), Some("gsm"));
        let mp4 = b"....stsd\0\0\0\0\0\0\0\x01\0\0\0\x40samr";
        assert_eq!(codec(Container::Mp4, mp4).as_deref(), Some("amr_nb"));
        for (container, whole) in [(Container::Ogg, page.as_slice()), (Container::Wav, wav), (Container::Mp4, mp4)] {
            for length in 0..whole.len() {
                let _ = codec(container, &whole[..length]);
                let _ = identify(&whole[..length]);
            }
        }
    }
}
