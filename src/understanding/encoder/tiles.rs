//! Owns the multiplication in tiles, which the newest server processors have (Intel AMX): registers of 16 rows of 64
//! bytes, two of which are multiplied like matrices in one instruction. The language has no names for these
//! instructions yet, so they are written as what they are.
//!
//! Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18, and Linux,
//! Documentation/arch/x86/xstate.rst.

use std::{
    arch::{asm, x86_64::__cpuid_count},
    marker::PhantomData,
    sync::OnceLock,
};

use super::{
    linear::{BLOCK, Line, PANEL, Panel, WORD},
    products::{Block, Digits, Multiplier, ROWS_MAX, Rounded as _, join},
};

/// A processor that has tiles, and an operating system that lets us use them.
#[derive(Debug, Clone, Copy)]
pub struct Tiles(());

impl Tiles {
    pub fn try_new() -> Option<Self> {
        static PERMITTED: OnceLock<bool> = OnceLock::new();
        PERMITTED.get_or_init(|| has_tiles() && is_permitted()).then_some(Self(()))
    }

    /// How many of so many rows a tile should have: a multiplication takes as long as its tile has rows, so they are shared
    /// evenly among as few tiles as hold them.
    pub fn rows_of(rows: usize) -> usize {
        rows.div_ceil(rows.div_ceil(ROWS_MAX).max(1)).max(1)
    }

    /// Sets this thread's tiles up for groups of so many rows.
    ///
    /// # Panics
    /// With more than [`ROWS_MAX`] rows, or none.
    pub fn set_up(self, rows: usize) -> SetUp {
        assert!((1..=ROWS_MAX).contains(&rows), "no tile has {rows} rows");
        SetUp::new(self, rows)
    }
}

fn has_tiles() -> bool {
    const FEATURES: u32 = 7;
    const TILES: u32 = 1 << 24;
    const TILES_OF_BYTES: u32 = 1 << 25;
    const NEEDED: u32 = TILES | TILES_OF_BYTES;
    __cpuid_count(0, 0).eax >= FEATURES && __cpuid_count(FEATURES, 0).edx & NEEDED == NEEDED
}

/// Linux hands tiles out on request, once for the whole process.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "libc has no function for this request")]
fn is_permitted() -> bool {
    const REQUEST_PERMISSION: libc::c_long = 0x1023;
    const TILE_DATA: libc::c_long = 18;
    // SAFETY: the call reads two numbers, and only changes what the kernel lets this process do.
    unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn is_permitted() -> bool {
    false
}

/// This thread's tiles, set up for as long as this lives: 0 to 3 for sums, 4 and 5 for numbers, 6 and 7 for weights. No
/// second one is made on a thread meanwhile.
#[derive(Debug)]
pub struct SetUp {
    /// Without them there would be no such instructions.
    _tiles: Tiles,
    rows: usize,
    /// Tiles are a thread's own.
    of_this_thread: PhantomData<*const ()>,
}

/// Bytes of a tile's row.
const ROW_BYTES: usize = 64;
/// Rows of a tile of weights: a word each of a block of inputs.
const WEIGHT_ROWS: usize = BLOCK / WORD;
/// Bytes from one line of a panel to the next.
const LINE_BYTES: usize = size_of::<Line>();
/// Blocks of 64 bytes that are fetched in a step: half of what a step of a panel has.
const FETCHED_A_STEP: usize = WEIGHT_ROWS * LINE_BYTES / size_of::<Block>() / 2;
const _: () = assert!(FETCHED_A_STEP == 16, "as many are named below");

/// How large each tile is, as the processor wants to be told.
#[repr(C, align(64))]
struct Sizes {
    palette: u8,
    zeros: [u8; 15],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl SetUp {
    #[expect(unsafe_code, reason = "the language has no name for this instruction")]
    fn new(tiles: Tiles, rows: usize) -> Self {
        let mut sizes = Sizes { palette: 1, zeros: [0; 15], row_bytes: [0; 16], rows: [0; 16] };
        sizes.row_bytes[..8].fill(ROW_BYTES as u16);
        sizes.rows[..6].fill(rows as u8);
        sizes.rows[6..8].fill(WEIGHT_ROWS as u8);
        // SAFETY: there is the instruction, says `tiles`. It reads these 64 bytes, which are a valid description: palette 1
        // has eight tiles of at most 16 rows of 64 bytes.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const sizes, options(nostack, readonly, preserves_flags),
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _);
        }
        Self { _tiles: tiles, rows, of_this_thread: PhantomData }
    }
}

impl Drop for SetUp {
    #[expect(unsafe_code, reason = "the language has no name for this instruction")]
    fn drop(&mut self) {
        // SAFETY: there is the instruction; it clears this thread's tiles, which nobody else uses.
        unsafe {
            asm!("tilerelease", options(nomem, nostack, preserves_flags),
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _);
        }
    }
}

#[expect(clippy::inline_always, reason = "only what is inlined is compiled for the processor that was found")]
impl Multiplier for SetUp {
    type Rows = Digits;

    #[expect(unsafe_code, reason = "the language has no names for these instructions")]
    #[inline(always)]
    fn multiply(&self, rows: &Digits, group: usize, panel: Panel, sums: &mut [[i32; PANEL]; ROWS_MAX]) {
        let digits = rows.of_group(group);
        let steps = digits.len() / (2 * self.rows);
        let lines = &panel.lines[..steps * WEIGHT_ROWS];
        assert!(steps > 0 && rows.rows_a_group() == self.rows, "tiles are set up for other rows");
        let mut lower = [[0; PANEL]; ROWS_MAX];
        // Weights come from memory, which takes longer than their multiplication: while the first rows meet one panel, half
        // of the next is fetched, and while the second ones do, the other half. After that, what is named is there already.
        let next = lines.as_ptr_range().end.cast::<Block>();
        let fetched = match group {
            0 => next,
            1 => next.wrapping_add(steps * FETCHED_A_STEP),
            _ => lines.as_ptr().cast(),
        };
        // SAFETY: tiles are set up, for `self.rows` rows of numbers and of sums and 16 of weights. Each of `steps` steps
        // reads twice `self.rows` blocks of `digits`, which has as many, and `WEIGHT_ROWS` of `lines`, which has as many.
        // Sums have `ROWS_MAX` rows, no less than `self.rows`, of as many bytes as a line. What is fetched ahead may be
        // anywhere: that has no effect but time.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                "prefetcht1 [{fetched}]",
                "prefetcht1 [{fetched} + 64]",
                "prefetcht1 [{fetched} + 128]",
                "prefetcht1 [{fetched} + 192]",
                "prefetcht1 [{fetched} + 256]",
                "prefetcht1 [{fetched} + 320]",
                "prefetcht1 [{fetched} + 384]",
                "prefetcht1 [{fetched} + 448]",
                "prefetcht1 [{fetched} + 512]",
                "prefetcht1 [{fetched} + 576]",
                "prefetcht1 [{fetched} + 640]",
                "prefetcht1 [{fetched} + 704]",
                "prefetcht1 [{fetched} + 768]",
                "prefetcht1 [{fetched} + 832]",
                "prefetcht1 [{fetched} + 896]",
                "prefetcht1 [{fetched} + 960]",
                "tileloadd tmm6, [{weights} + {line}]",
                "tileloadd tmm4, [{digits} + {row}]",
                "tdpbusd tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{weights} + {line} + 64]",
                "tdpbusd tmm1, tmm4, tmm7",
                "add {digits}, {group_bytes}",
                "tileloadd tmm5, [{digits} + {row}]",
                "tdpbusd tmm2, tmm5, tmm6",
                "tdpbusd tmm3, tmm5, tmm7",
                "add {digits}, {group_bytes}",
                "add {weights}, {lines_bytes}",
                "add {fetched}, {fetched_bytes}",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{sums} + {line}], tmm0",
                "tilestored [{sums} + {line} + 64], tmm1",
                "tilestored [{lower_sums} + {line}], tmm2",
                "tilestored [{lower_sums} + {line} + 64], tmm3",
                digits = inout(reg) digits.as_ptr() => _,
                weights = inout(reg) lines.as_ptr() => _,
                fetched = inout(reg) fetched => _,
                steps = inout(reg) steps => _,
                group_bytes = in(reg) self.rows * ROW_BYTES,
                lines_bytes = const WEIGHT_ROWS * LINE_BYTES,
                fetched_bytes = const FETCHED_A_STEP * size_of::<Block>(),
                row = in(reg) ROW_BYTES,
                line = in(reg) LINE_BYTES,
                sums = in(reg) sums.as_mut_ptr(),
                lower_sums = in(reg) lower.as_mut_ptr(),
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
        for (sums, lower) in sums.iter_mut().zip(&lower).take(self.rows) {
            join(sums, lower, panel.totals);
        }
    }
}
