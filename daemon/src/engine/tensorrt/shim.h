// What Rust calls of TensorRT: a table of C functions, one table for each major version the daemon was built with.
// Nothing here is linked against NVIDIA's libraries: their few entry points are found at run time and handed in.
#pragma once

#include <stddef.h>
#include <stdint.h>

extern "C" {

// severity: 0 internal error, 1 error, 2 warning, 3 info, 4 verbose. May be called from any thread.
typedef void (*fm_tell)(void* context, int32_t severity, char const* text);
// step -1: the phase begins and has `steps` steps; step == steps: it is done. `parent` may be null.
typedef void (*fm_progress)(void* context, char const* phase, char const* parent, int32_t step, int32_t steps);
typedef void (*fm_bytes)(void* context, void const* data, size_t size);

struct fm_build
{
    void* create_builder; // createInferBuilder_INTERNAL
    void* create_parser;  // createNvOnnxParser_INTERNAL
    void const* onnx;
    size_t onnx_size;
    uint64_t workspace;  // bytes
    int32_t batch;       // regions in every call
    int32_t fp16;        // majors below 11: 16-bit floats where faster
    int32_t int8;        // majors below 11: int8 where the graph has Q/DQ
    int32_t capability;  // TensorRT-RTX: builds for a GPU that need not be here, such as 86; 0 for the one that is
    fm_progress progress;
    fm_bytes plan;
    void* context; // of `progress` and `plan`
};

struct fm_api
{
    int32_t abi;
    int32_t major;
    int32_t minor;
    int32_t patch;
    int32_t rtx;
    void* (*logger_new)(fm_tell tell, void* context);
    void (*logger_free)(void* logger);
    void* (*runtime_new)(void* create, void* logger);
    void (*runtime_free)(void* runtime);
    void* (*engine_new)(void* runtime, void const* plan, size_t size);
    void (*engine_free)(void* engine);
    int32_t (*tensor_count)(void* engine);
    char const* (*tensor_name)(void* engine, int32_t index);
    int32_t (*tensor_is_input)(void* engine, char const* name);
    int32_t (*tensor_type)(void* engine, char const* name);
    int32_t (*tensor_shape)(void* engine, char const* name, int64_t* sides, int32_t capacity);
    int32_t (*layers)(void* engine, fm_bytes line, void* context);
    void* (*context_new)(void* engine);
    void (*context_free)(void* context);
    int32_t (*context_shape)(void* context, char const* name, int64_t const* sides, int32_t rank);
    int32_t (*context_address)(void* context, char const* name, void* address);
    int32_t (*context_enqueue)(void* context, void* stream);
    int32_t (*build)(fm_build const* request, void* logger);
};

} // extern "C"
