//! Owns that Opus comes out at the rate that is heard: libopus decodes to 16 kHz by itself, at less than it costs to
//! decode to its customary 48 kHz and to filter two samples of three away again.

use symphonia::core::{
    audio::GenericAudioBufferRef,
    codecs::{
        CodecInfo,
        audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions, FinalizeResult},
        registry::{RegisterableAudioDecoder, SupportedAudioCodec},
    },
    errors::Result,
    packet::PacketRef,
    units::Duration,
};
use symphonia_adapter_libopus::OpusDecoder;

use crate::audio::SAMPLE_RATE_HZ;

/// The rate that containers count Opus in, whatever it was recorded at (RFC 7845, section 5.1).
const COUNTED_HZ: u64 = 48_000;

/// libopus, set to 16 kHz.
pub(super) struct NarrowOpus(Box<dyn AudioDecoder>);

impl RegisterableAudioDecoder for NarrowOpus {
    fn try_registry_new(
        parameters: &AudioCodecParameters,
        options: &AudioDecoderOptions,
    ) -> Result<Box<dyn AudioDecoder>> {
        let mut narrow = parameters.clone();
        narrow.sample_rate = Some(SAMPLE_RATE_HZ);
        Ok(Box::new(Self(OpusDecoder::try_registry_new(&narrow, options)?)))
    }

    fn supported_codecs() -> &'static [SupportedAudioCodec] {
        OpusDecoder::supported_codecs()
    }
}

impl AudioDecoder for NarrowOpus {
    fn reset(&mut self) {
        self.0.reset();
    }

    fn codec_info(&self) -> &CodecInfo {
        self.0.codec_info()
    }

    fn codec_params(&self) -> &AudioCodecParameters {
        self.0.codec_params()
    }

    /// What is to be cut off at both ends is told in samples of 48 kHz, and is cut off from samples of 16 kHz.
    fn decode_ref(&mut self, packet: &PacketRef<'_>) -> Result<GenericAudioBufferRef<'_>> {
        let mut packet = *packet;
        packet.trim_start = narrowed(packet.trim_start);
        packet.trim_end = narrowed(packet.trim_end);
        self.0.decode_ref(&packet)
    }

    fn finalize(&mut self) -> FinalizeResult {
        self.0.finalize()
    }

    fn last_decoded(&self) -> GenericAudioBufferRef<'_> {
        self.0.last_decoded()
    }
}

fn narrowed(samples: Duration) -> Duration {
    // Divided only: a file may name any number.
    Duration::from(samples.get() / (COUNTED_HZ / u64::from(SAMPLE_RATE_HZ)))
}
