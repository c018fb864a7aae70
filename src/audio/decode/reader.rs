//! Owns how symphonia gets at a file: which reader for which container, which decoders there are, and a source that
//! stops at the deadline.

use std::{
    io::{self, ErrorKind, Read, Seek, SeekFrom},
    sync::LazyLock,
    time::{Duration, Instant},
};

use symphonia::{
    core::{
        codecs::registry::CodecRegistry,
        errors::Error as Symphonia,
        formats::{
            FormatOptions, FormatReader,
            probe::{Hint, Probe},
        },
        io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions},
        meta::MetadataOptions,
    },
    default::{formats, meta, register_enabled_codecs},
};

use super::{DecodeError, opus::NarrowOpus, sniff::Container};

/// Opens the reader for the container that the bytes are. Nothing is searched for further on, where junk could look
/// like audio.
pub(super) fn open(container: Container, source: Source<'_>) -> Result<Box<dyn FormatReader + '_>, Symphonia> {
    let stream = MediaSourceStream::new(Box::new(source), MediaSourceStreamOptions::default());
    let options = FormatOptions::default();
    Ok(match container {
        Container::Ogg => Box::new(formats::OggReader::try_new(stream, options)?),
        Container::Wav => Box::new(formats::WavReader::try_new(stream, options)?),
        Container::Flac => Box::new(formats::FlacReader::try_new(stream, options)?),
        Container::Caf => Box::new(formats::CafReader::try_new(stream, options)?),
        Container::Mp4 => Box::new(formats::IsoMp4Reader::try_new(stream, options)?),
        Container::Webm | Container::Matroska => Box::new(formats::MkvReader::try_new(stream, options)?),
        Container::Mpeg => MPEG.probe(&Hint::new(), stream, options, MetadataOptions::default())?,
    })
}

/// All decoders: symphonia's own and libopus.
pub(super) static CODECS: LazyLock<CodecRegistry> = LazyLock::new(|| {
    let mut codecs = CodecRegistry::new();
    register_enabled_codecs(&mut codecs);
    codecs.register_audio_decoder::<NarrowOpus>();
    codecs
});

/// Tells mp3 from ADTS, behind tags of any size.
static MPEG: LazyLock<Probe> = LazyLock::new(|| {
    let mut probe = Probe::default();
    probe.register_format::<formats::MpaReader<'_>>();
    probe.register_format::<formats::AdtsReader<'_>>();
    probe.register_format::<formats::FlacReader<'_>>();
    probe.register_metadata::<meta::Id3v1Reader<'_>>();
    probe.register_metadata::<meta::Id3v2Reader<'_>>();
    probe.register_metadata::<meta::ApeReader<'_>>();
    probe
});

/// When decoding has to be over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    at: Instant,
    decode_s_max: u32,
}

impl Deadline {
    pub(super) fn after(decode_s_max: u32) -> Self {
        Self { at: Instant::now() + Duration::from_secs(decode_s_max.into()), decode_s_max }
    }

    pub(super) fn check(self) -> Result<(), DecodeError> {
        if Instant::now() < self.at {
            Ok(())
        } else {
            Err(DecodeError::TimeExceeded { decode_s_max: self.decode_s_max })
        }
    }
}

/// The file. It stops at the deadline, so that a reader that looks to and fro for ever stops too.
pub(super) struct Source<'a> {
    bytes: io::Cursor<&'a [u8]>,
    deadline: Deadline,
    /// Whether readers may look around in the file, or get it as a stream of unknown length.
    seekable: bool,
}

impl<'a> Source<'a> {
    pub(super) fn new(bytes: &'a [u8], deadline: Deadline, seekable: bool) -> Self {
        Self { bytes: io::Cursor::new(bytes), deadline, seekable }
    }
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.deadline.check().map_err(|_| ErrorKind::TimedOut)?;
        self.bytes.read(buffer)
    }
}

impl Seek for Source<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(to)
    }
}

impl MediaSource for Source<'_> {
    fn is_seekable(&self) -> bool {
        self.seekable
    }

    fn byte_len(&self) -> Option<u64> {
        self.seekable.then_some(self.bytes.get_ref().len() as u64)
    }
}
