use super::*;

fn wav(rate_hz: u32, format: u16, bits: u16, data: &[u8], data_size: u32) -> Vec<u8> {
    let frame = bits / 8;
    let mut file = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0".to_vec();
    file.extend(format.to_le_bytes());
    file.extend(1_u16.to_le_bytes());
    file.extend(rate_hz.to_le_bytes());
    file.extend((rate_hz.wrapping_mul(frame.into())).to_le_bytes());
    file.extend(frame.to_le_bytes());
    file.extend(bits.to_le_bytes());
    file.extend(b"data");
    file.extend(data_size.to_le_bytes());
    file.extend(data);
    file
}

fn tone_bytes(rate_hz: u32, seconds: u32) -> Vec<u8> {
    (0..rate_hz * seconds).flat_map(|n| (((n * 440 * 64 / rate_hz) % 64) as i16 * 200 - 6_400).to_le_bytes()).collect()
}

fn tone(rate_hz: u32, seconds: u32) -> Vec<u8> {
    let data = tone_bytes(rate_hz, seconds);
    wav(rate_hz, 1, 16, &data, data.len() as u32)
}

fn refused(bytes: &[u8], limits: &Config) -> DecodeError {
    let error = decode(bytes, limits).expect_err("it must be refused");
    assert_eq!(error.disposition(), Disposition::Fail);
    error
}

#[test]
fn a_file_is_described_by_what_was_decoded() {
    let bytes = tone(48_000, 2);
    let Decoded { pcm, info } = decode(&bytes, &Config::default()).unwrap();
    assert_eq!(pcm.0.len(), 32_000);
    assert_eq!((info.container.as_str(), info.codec.as_str(), info.partial), ("wav", "pcm_s16le", false));
    assert!((info.duration_s - 2.0).abs() < 1e-9);
    assert_eq!(info.sha256.len(), 64);
    assert!(info.sha256.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()));
}

#[test]
fn nothing_is_empty_audio_and_headers_alone_are_too() {
    assert_eq!(refused(b"", &Config::default()).reason(), Reason::EmptyAudio);
    assert_eq!(refused(&wav(16_000, 1, 16, &[], 0), &Config::default()).reason(), Reason::EmptyAudio);
}

#[test]
fn what_is_not_audio_is_named() {
    let error = refused(b"%PDF-1.7 and more", &Config::default());
    assert_eq!(error.reason(), Reason::UnsupportedContainer);
    assert!(error.to_string().contains("PDF"), "{error}");
    let error = refused(b"\xff\xe3 looks like the start of an mp3 frame but is not one", &Config::default());
    assert_eq!(error.reason(), Reason::UnsupportedContainer);
}

#[test]
fn a_codec_without_decoder_is_named() {
    for (bytes, name) in [
        (b"#!AMR\n\x3c\x08".to_vec(), "amr_nb"),
        (b"#!AMR-WB\n\x04".to_vec(), "amr_wb"),
        (wav(8_000, 0x31, 0, &[0; 650], 650), "gsm"),
    ] {
        let error = refused(&bytes, &Config::default());
        assert_eq!(error.reason(), Reason::UnsupportedCodec);
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn too_many_bytes_are_refused_before_they_are_looked_at() {
    let limits = Config { bytes_max: 9, ..Config::default() };
    assert_eq!(refused(b"%PDF-1.7  ", &limits), DecodeError::TooLarge { bytes: 10, bytes_max: 9 });
}

#[test]
fn audio_that_lasts_too_long_is_refused_by_what_was_decoded() {
    let limits = Config { duration_s_max: 2, ..Config::default() };
    assert!(decode(&tone(8_000, 2), &limits).is_ok());
    assert_eq!(refused(&tone(8_000, 3), &limits), DecodeError::TooLong { duration_s_max: 2 });
}

#[test]
fn the_number_of_decoded_samples_is_limited_too() {
    let limits = Config { decoded_samples_max: 8_000, ..Config::default() };
    assert!(decode(&tone(8_000, 1), &limits).is_ok());
    let error = refused(&tone(8_000, 2), &limits);
    assert_eq!(error, DecodeError::TooManySamples { decoded_samples_max: 8_000 });
    assert_eq!(error.reason(), Reason::AudioTooLong);
}

#[test]
fn decoding_ends_when_its_time_is_over() {
    let limits = Config { decode_s_max: 0, ..Config::default() };
    for bytes in [tone(8_000, 2), b"OggS\0\x02".to_vec(), b"\0\0\0\x14ftypM4A \0\0\0\0".to_vec()] {
        assert_eq!(refused(&bytes, &limits).reason(), Reason::DecodeTimeExceeded);
    }
}

#[test]
fn a_header_that_promises_hours_is_neither_believed_nor_refused() {
    let limits = Config { duration_s_max: 10, ..Config::default() };
    let lying = wav(16_000, 1, 16, &tone_bytes(16_000, 1), 7_200 * 32_000);
    let Decoded { pcm, info } = decode(&lying, &limits).unwrap();
    assert_eq!((pcm.0.len(), info.partial), (16_000, true));
    assert!(pcm.0.capacity() <= 4 * 16_000, "{} samples reserved", pcm.0.capacity());

    let streamed = wav(16_000, 1, 16, &tone_bytes(16_000, 1), u32::MAX);
    let Decoded { pcm, info } = decode(&streamed, &limits).unwrap();
    assert_eq!((pcm.0.len(), info.partial), (16_000, false));
}

#[test]
fn an_impossible_sample_rate_is_refused() {
    for rate_hz in [0, 1, 1_999, 4_000_000_000] {
        let error = refused(&wav(rate_hz, 1, 16, &[0; 640], 640), &Config::default());
        assert_eq!(error.reason(), Reason::CorruptAudio, "{rate_hz} Hz: {error}");
    }
}

#[test]
fn samples_that_are_no_numbers_or_too_loud_come_out_finite_and_in_range() {
    let data: Vec<u8> = [f32::NAN, f32::INFINITY, -7.5, 1e30, 0.25]
        .iter()
        .cycle()
        .take(9_600)
        .flat_map(|sample| sample.to_le_bytes())
        .collect();
    for rate_hz in [16_000, 48_000] {
        let Decoded { pcm, .. } = decode(&wav(rate_hz, 3, 32, &data, data.len() as u32), &Config::default()).unwrap();
        assert!(pcm.0.iter().all(|sample| sample.is_finite() && sample.abs() <= 1.0));
    }
}

#[test]
fn every_error_is_one_plain_sentence_without_content() {
    for error in [
        DecodeError::Empty,
        DecodeError::UnsupportedContainer { found: "PDF" },
        DecodeError::UnsupportedCodec { container: "ogg", codec: "speex".to_owned() },
        DecodeError::corrupt("unexpected end of file"),
        DecodeError::TooLarge { bytes: 2, bytes_max: 1 },
        DecodeError::TooLong { duration_s_max: 1 },
        DecodeError::TooManySamples { decoded_samples_max: 1 },
        DecodeError::TimeExceeded { decode_s_max: 1 },
    ] {
        assert!(!error.to_string().contains(['\n', '{']), "{error}");
        assert_eq!(error.disposition(), Disposition::Fail);
    }
}

#[test]
fn a_packet_size_that_no_codec_has_is_refused_before_memory_is_reserved() {
    let mut caf = b"caff\0\x01\0\0desc".to_vec();
    caf.extend(32_u64.to_be_bytes());
    caf.extend(16_000_f64.to_be_bytes());
    caf.extend(b"lpcm");
    // Flags, bytes and frames a packet, channels, bits.
    caf.extend([0, 2, u32::MAX, 1, 16].map(u32::to_be_bytes).as_flattened());
    caf.extend(b"data");
    caf.extend(104_u64.to_be_bytes());
    caf.extend([0; 104]);
    assert_eq!(refused(&caf, &Config::default()).reason(), Reason::CorruptAudio);
}
