# DreamGUI in a container: the page at port 7860, everything that is made in /data.
#   docker build -t dreamgui .                             for NVIDIA GPUs (CUDA comes with PyTorch)
#   docker build -t dreamgui-cpu --build-arg DEVICE=cpu .  for the processor: a smaller image
#   docker run --gpus all -p 127.0.0.1:7860:7860 -v dreamgui:/data dreamgui
# compose.yaml has both. The page asks for a login: name dream and a new password, which the log shows at each start, or your
# own by -e DREAMGUI_LOGIN=name:password. Each login has a workspace of its own in /data.
FROM python:3.12-slim

# g++: the compiler of --compile and of Triton's kernels. The others: the face detector.
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ libgl1 libegl1 libgles2 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /app
COPY requirements.txt requirements.lock ./
ARG DEVICE=cuda
RUN if [ "$DEVICE" = cpu ]; then \
        pip install --no-cache-dir torch torchvision --index-url https://download.pytorch.org/whl/cpu \
        && pip install --no-cache-dir -r requirements.txt; \
    elif [ "$DEVICE" = cuda ]; then \
        pip install --no-cache-dir --require-hashes -r requirements.lock; \
    else \
        echo "DEVICE is cuda or cpu, not $DEVICE" && exit 1; \
    fi

COPY app.py LICENSE ./
COPY assets ./assets
COPY dreamgui ./dreamgui

RUN useradd --uid 1000 --create-home dreamgui && mkdir /data && chown dreamgui /data
USER dreamgui
ENV DREAMGUI_HOME=/data/workspace \
    HF_HOME=/data/huggingface \
    GRADIO_SERVER_PORT=7860 \
    PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 7860
HEALTHCHECK --interval=30s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/', timeout=5)"]
CMD ["python", "app.py", "--host", "0.0.0.0"]
