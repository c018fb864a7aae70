# ggml with our own products, softmax and GELU in front of its own (matmul.cpp and activations.cpp), and with two
# operators more.
function(sprachpost_stand_before source names)
    set_source_files_properties("src/ggml-cpu/${source}" TARGET_DIRECTORY ggml-cpu PROPERTIES COMPILE_DEFINITIONS "${names}")
endfunction()

target_sources(ggml-cpu PRIVATE "${CMAKE_CURRENT_LIST_DIR}/attention.cpp" "${CMAKE_CURRENT_LIST_DIR}/vocabulary.cpp")
if(GGML_LLAMAFILE)
    target_sources(ggml-cpu PRIVATE "${CMAKE_CURRENT_LIST_DIR}/activations.cpp" "${CMAKE_CURRENT_LIST_DIR}/matmul.cpp")
    sprachpost_stand_before(llamafile/sgemm.cpp "llamafile_sgemm=ggml_cpu_sgemm")
    sprachpost_stand_before(ops.cpp "ggml_compute_forward_soft_max=ggml_cpu_soft_max;ggml_compute_forward_unary=ggml_cpu_unary")
    # ggml's own tiles are for larger models, and would take weights that `matmul.cpp` is faster with.
    if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64" AND NOT MSVC)
        target_compile_options(ggml-cpu PRIVATE -mno-amx-int8)
    endif()
endif()
