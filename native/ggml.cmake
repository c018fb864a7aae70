# ggml with two operators more, and with our own products, softmax and GELU in front of its own.
target_sources(ggml-cpu PRIVATE "${CMAKE_CURRENT_LIST_DIR}/kernels.cpp")

function(sprachpost_stand_before source names)
    set_source_files_properties("src/ggml-cpu/${source}" TARGET_DIRECTORY ggml-cpu PROPERTIES COMPILE_DEFINITIONS "${names}")
endfunction()

if(GGML_LLAMAFILE)
    target_sources(ggml-cpu PRIVATE "${CMAKE_CURRENT_LIST_DIR}/front.cpp")
    sprachpost_stand_before(llamafile/sgemm.cpp "llamafile_sgemm=ggml_cpu_sgemm")
    sprachpost_stand_before(ops.cpp "ggml_compute_forward_soft_max=ggml_cpu_soft_max;ggml_compute_forward_unary=ggml_cpu_unary")
endif()

# The kernels are compiled for processors with all that they use, whatever the rest is compiled for; kernels.cpp asks the
# processor before one is run.
function(sprachpost_kernel instructions)
    list(TRANSFORM ARGN PREPEND "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/kernels/")
    target_sources(ggml-cpu PRIVATE ${ARGN})
    set_source_files_properties(${ARGN} TARGET_DIRECTORY ggml-cpu PROPERTIES COMPILE_OPTIONS "${instructions}")
endfunction()

if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64" AND NOT MSVC)
    include(CheckCXXCompilerFlag)
    check_cxx_compiler_flag(-mavx512bf16 SPRACHPOST_COMPILES_AVX512)
    check_cxx_compiler_flag(-mamx-bf16 SPRACHPOST_COMPILES_AMX)
    set(eight_bit -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mfma -mf16c)
    set(bfloat16 ${eight_bit} -mavx512bf16)
    if(SPRACHPOST_COMPILES_AMX)
        list(APPEND bfloat16 -mamx-tile -mamx-bf16)
    endif()
    if(SPRACHPOST_COMPILES_AVX512)
        sprachpost_kernel("${eight_bit}" activations.cpp few.cpp vocabulary.cpp)
        sprachpost_kernel("${bfloat16}" attention.cpp many.cpp)
        set_source_files_properties("${CMAKE_CURRENT_LIST_DIR}/kernels.cpp" TARGET_DIRECTORY ggml-cpu
            PROPERTIES COMPILE_DEFINITIONS SPRACHPOST_KERNELS)
    endif()
    # ggml's own tiles are for larger models, and would take weights that ours are faster with.
    target_compile_options(ggml-cpu PRIVATE -mno-amx-int8)
endif()
