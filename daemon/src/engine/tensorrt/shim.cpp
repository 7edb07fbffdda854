// Compiled once for each major version of TensorRT's headers. Their inline functions know where in a table of virtual
// functions each method stands, and that differs between majors: every copy gets a namespace of its own, so that the
// linker cannot take one for the other.
#define FM_JOIN2(a, b) a##b
#define FM_JOIN(a, b) FM_JOIN2(a, b)
#define nvinfer1 FM_JOIN(nvinfer1_, FM_FLAVOUR)
#define nvonnxparser FM_JOIN(nvonnxparser_, FM_FLAVOUR)

#include <initializer_list>

#include <NvInfer.h>
#include <NvOnnxParser.h>

#include "shim.h"

#if defined(TRT_MAJOR_RTX)
#define FM_RTX 1
#define FM_SINCE(major) 1
#else
#define FM_RTX 0
#define FM_SINCE(major) (NV_TENSORRT_MAJOR >= (major))
#endif

#if !FM_RTX && (NV_TENSORRT_MAJOR < 8 || (NV_TENSORRT_MAJOR == 8 && NV_TENSORRT_MINOR < 5))
#error "TensorRT 8.5 or newer is needed (enqueueV3): JetPack 4 has 8.2 at most and is not supported"
#endif

namespace
{

// Without a GPU the library's constructors give small numbers instead of null.
template <typename T>
T* real(void* pointer)
{
    return reinterpret_cast<uintptr_t>(pointer) < 4096 ? nullptr : static_cast<T*>(pointer);
}

class Logger : public nvinfer1::ILogger
{
public:
    Logger(fm_tell tell, void* context)
        : tell_(tell)
        , context_(context)
    {
    }

    void log(Severity severity, char const* text) noexcept override
    {
        tell_(context_, static_cast<int32_t>(severity), text);
    }

private:
    fm_tell tell_;
    void* context_;
};

void* logger_new(fm_tell tell, void* context)
{
    return new Logger(tell, context);
}

void logger_free(void* logger)
{
    delete static_cast<Logger*>(logger);
}

void* runtime_new(void* create, void* logger)
{
    using Create = void* (*) (void*, int32_t);
    nvinfer1::ILogger* base = static_cast<Logger*>(logger);
    return real<nvinfer1::IRuntime>(reinterpret_cast<Create>(create)(base, NV_TENSORRT_VERSION));
}

void runtime_free(void* runtime)
{
    delete static_cast<nvinfer1::IRuntime*>(runtime);
}

void* engine_new(void* runtime, void const* plan, size_t size)
{
    return real<nvinfer1::ICudaEngine>(static_cast<nvinfer1::IRuntime*>(runtime)->deserializeCudaEngine(plan, size));
}

void engine_free(void* engine)
{
    delete static_cast<nvinfer1::ICudaEngine*>(engine);
}

nvinfer1::ICudaEngine* engine_of(void* engine)
{
    return static_cast<nvinfer1::ICudaEngine*>(engine);
}

int32_t tensor_count(void* engine)
{
    return engine_of(engine)->getNbIOTensors();
}

char const* tensor_name(void* engine, int32_t index)
{
    return engine_of(engine)->getIOTensorName(index);
}

int32_t tensor_is_input(void* engine, char const* name)
{
    return engine_of(engine)->getTensorIOMode(name) == nvinfer1::TensorIOMode::kINPUT;
}

int32_t tensor_type(void* engine, char const* name)
{
    return static_cast<int32_t>(engine_of(engine)->getTensorDataType(name));
}

int32_t tensor_shape(void* engine, char const* name, int64_t* sides, int32_t capacity)
{
    auto const shape = engine_of(engine)->getTensorShape(name);
    if (shape.nbDims < 0 || shape.nbDims > capacity)
    {
        return -1;
    }
    for (int32_t i = 0; i < shape.nbDims; ++i)
    {
        sides[i] = shape.d[i];
    }
    return shape.nbDims;
}

int32_t layers(void* engine, fm_bytes line, void* context)
{
    auto* inspector = real<nvinfer1::IEngineInspector>(engine_of(engine)->createEngineInspector());
    if (inspector == nullptr)
    {
        return 0;
    }
    for (int32_t i = 0; i < engine_of(engine)->getNbLayers(); ++i)
    {
        char const* text = inspector->getLayerInformation(i, nvinfer1::LayerInformationFormat::kJSON);
        size_t size = 0;
        while (text != nullptr && text[size] != '\0')
        {
            ++size;
        }
        line(context, text, size);
    }
    delete inspector;
    return 1;
}

void* context_new(void* engine)
{
    return real<nvinfer1::IExecutionContext>(engine_of(engine)->createExecutionContext());
}

void context_free(void* context)
{
    delete static_cast<nvinfer1::IExecutionContext*>(context);
}

nvinfer1::Dims dims(int64_t const* sides, int32_t rank)
{
    nvinfer1::Dims out{};
    out.nbDims = rank;
    for (int32_t i = 0; i < rank && i < nvinfer1::Dims::MAX_DIMS; ++i)
    {
        out.d[i] = static_cast<decltype(+out.d[0])>(sides[i]);
    }
    return out;
}

int32_t context_shape(void* context, char const* name, int64_t const* sides, int32_t rank)
{
    return static_cast<nvinfer1::IExecutionContext*>(context)->setInputShape(name, dims(sides, rank));
}

int32_t context_address(void* context, char const* name, void* address)
{
    return static_cast<nvinfer1::IExecutionContext*>(context)->setTensorAddress(name, address);
}

int32_t context_enqueue(void* context, void* stream)
{
    return static_cast<nvinfer1::IExecutionContext*>(context)->enqueueV3(static_cast<cudaStream_t>(stream));
}

#if FM_SINCE(10)
class Monitor : public nvinfer1::IProgressMonitor
{
public:
    explicit Monitor(fm_build const& request)
        : request_(request)
    {
    }

    void phaseStart(char const* phase, char const* parent, int32_t steps) noexcept override
    {
        request_.progress(request_.context, phase, parent, -1, steps);
    }

    bool stepComplete(char const* phase, int32_t step) noexcept override
    {
        request_.progress(request_.context, phase, nullptr, step, -1);
        return true;
    }

    void phaseFinish(char const* phase) noexcept override
    {
        request_.progress(request_.context, phase, nullptr, 0, 0);
    }

private:
    fm_build const& request_;
};
#endif

// Frees what the library made, whichever way a build ends.
template <typename T>
struct Held
{
    T* it;
    ~Held()
    {
        delete it;
    }
};

// The network reads weights out of the parser's memory until the plan is built: the parser has to live as long.
bool parse(fm_build const& request, nvonnxparser::IParser* parser, Logger& logger)
{
    if (parser == nullptr)
    {
        logger.log(nvinfer1::ILogger::Severity::kERROR, "the ONNX parser gave no object");
        return false;
    }
    bool const parsed = parser->parse(request.onnx, request.onnx_size);
    for (int i = 0; i < parser->getNbErrors(); ++i)
    {
        logger.log(nvinfer1::ILogger::Severity::kERROR, parser->getError(i)->desc());
    }
    return parsed;
}

// Every call has `batch` regions: one shape, so that nothing is planned anew and a CUDA graph can be kept.
bool shape(fm_build const& request, nvinfer1::INetworkDefinition& network, nvinfer1::IBuilder& builder, nvinfer1::IBuilderConfig& config)
{
    auto* profile = builder.createOptimizationProfile();
    if (profile == nullptr)
    {
        return false;
    }
    for (int32_t i = 0; i < network.getNbInputs(); ++i)
    {
        auto* input = network.getInput(i);
        auto sides = input->getDimensions();
        sides.d[0] = request.batch;
        using Selector = nvinfer1::OptProfileSelector;
        for (auto selector : {Selector::kMIN, Selector::kOPT, Selector::kMAX})
        {
            if (!profile->setDimensions(input->getName(), selector, sides))
            {
                return false;
            }
        }
    }
    return config.addOptimizationProfile(profile) >= 0;
}

bool configure(fm_build const& request, nvinfer1::IBuilderConfig& config)
{
    config.setMemoryPoolLimit(nvinfer1::MemoryPoolType::kWORKSPACE, static_cast<size_t>(request.workspace));
    config.setProfilingVerbosity(nvinfer1::ProfilingVerbosity::kDETAILED);
#if FM_RTX
    if (request.capability != 0)
    {
        auto const capability = static_cast<nvinfer1::ComputeCapability>(request.capability);
        return config.setNbComputeCapabilities(1) && config.setComputeCapability(capability, 0);
    }
#elif FM_SINCE(11)
    // Types are the model's own.
    config.clearFlag(nvinfer1::BuilderFlag::kTF32);
#else
    if (request.fp16 != 0)
    {
        config.setFlag(nvinfer1::BuilderFlag::kFP16);
    }
    else
    {
        config.clearFlag(nvinfer1::BuilderFlag::kTF32);
    }
    if (request.int8 != 0)
    {
        config.setFlag(nvinfer1::BuilderFlag::kINT8);
    }
#endif
    return true;
}

int32_t build(fm_build const* given, void* logger_pointer)
{
    fm_build const& request = *given;
    Logger& logger = *static_cast<Logger*>(logger_pointer);
    auto const failed = [&logger](char const* text) {
        logger.log(nvinfer1::ILogger::Severity::kERROR, text);
        return 0;
    };
    using Create = void* (*) (void*, int32_t);
    nvinfer1::ILogger* base = &logger;
    auto create = reinterpret_cast<Create>(request.create_builder);
    Held<nvinfer1::IBuilder> builder{real<nvinfer1::IBuilder>(create(base, NV_TENSORRT_VERSION))};
    if (builder.it == nullptr)
    {
        return failed("the library gave no builder");
    }
#if FM_SINCE(10)
    uint32_t const flags = 0;
    Monitor monitor(request);
#else
    uint32_t const flags = 1U << static_cast<uint32_t>(nvinfer1::NetworkDefinitionCreationFlag::kEXPLICIT_BATCH);
#endif
    Held<nvinfer1::INetworkDefinition> network{real<nvinfer1::INetworkDefinition>(builder.it->createNetworkV2(flags))};
    Held<nvinfer1::IBuilderConfig> config{real<nvinfer1::IBuilderConfig>(builder.it->createBuilderConfig())};
    if (network.it == nullptr || config.it == nullptr)
    {
        return failed("the library gave no network or no configuration");
    }
    using CreateParser = void* (*) (void*, void*, int);
    auto create_parser = reinterpret_cast<CreateParser>(request.create_parser);
    Held<nvonnxparser::IParser> parser{
        real<nvonnxparser::IParser>(create_parser(network.it, base, NV_ONNX_PARSER_VERSION))};
    if (!parse(request, parser.it, logger))
    {
        return failed("the parser refuses the model");
    }
    if (!shape(request, *network.it, *builder.it, *config.it) || !configure(request, *config.it))
    {
        return failed("the builder refuses the shapes or settings");
    }
#if FM_SINCE(10)
    config.it->setProgressMonitor(&monitor);
#endif
    Held<nvinfer1::IHostMemory> plan{builder.it->buildSerializedNetwork(*network.it, *config.it)};
    if (plan.it == nullptr || plan.it->size() == 0)
    {
        return failed("the builder gave no plan");
    }
    request.plan(request.context, plan.it->data(), plan.it->size());
    return 1;
}

fm_api const table = {1, NV_TENSORRT_MAJOR, NV_TENSORRT_MINOR, NV_TENSORRT_PATCH, FM_RTX, logger_new, logger_free,
    runtime_new, runtime_free, engine_new, engine_free, tensor_count, tensor_name, tensor_is_input, tensor_type,
    tensor_shape, layers, context_new, context_free, context_shape, context_address, context_enqueue, build};

} // namespace

extern "C" fm_api const* FM_JOIN(fieldmark_tensorrt_, FM_FLAVOUR)(void)
{
    return &table;
}
