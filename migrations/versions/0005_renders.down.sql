DROP TABLE render_chunks, render_jobs;
