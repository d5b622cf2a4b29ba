-- The schema that Sumatra 0.8.1's own migrations make in SQLite, so that `smt` takes the store for its own.
CREATE TABLE "django_content_type" (
    "id" integer NOT NULL PRIMARY KEY AUTOINCREMENT,
    "app_label" varchar(100) NOT NULL,
    "model" varchar(100) NOT NULL
);
CREATE TABLE "django_migrations" (
    "id" integer NOT NULL PRIMARY KEY AUTOINCREMENT,
    "app" varchar(255) NOT NULL,
    "name" varchar(255) NOT NULL,
    "applied" datetime NOT NULL
);
CREATE TABLE "django_store_datakey" (
    "id" integer NOT NULL PRIMARY KEY AUTOINCREMENT,
    "path" varchar(200) NOT NULL,
    "digest" varchar(40) NOT NULL,
    "creation" datetime NULL,
    "metadata" text NOT NULL,
    "output_from_record_id" integer NULL REFERENCES "django_store_record" ("db_id") DEFERRABLE INITIALLY DEFERRED
);
CREATE TABLE "django_store_datastore" (
    "id" integer NOT NULL PRIMARY KEY AUTOINCREMENT,
    "type" varchar(100) NOT NULL,
    "parameters" varchar(200) NOT NULL
);
CREATE TABLE "django_store_dependency" (
    "id" integer NOT NULL PRIMARY KEY AUTOINCREMENT,
    "name" varchar(50) NOT NULL,
    "path" varchar(200) NOT NULL,
    "version" varchar(40) NOT NULL,
    "diff" text NOT NULL,
    "source" varchar(200) NULL,
    "module" varchar(50) NOT NULL
);
CREATE TABLE "django_store_executable" (
    "id" integer NOT NULL PRIMARY KEY AUTOINCREMENT,
    "path" varchar(200) NOT NULL,
    "name" varchar(50) NOT NULL,
    "version" varchar(100) NOT NULL,
    "options" varchar(50) NOT NULL
);
CREATE TABLE "django_store_launchmode" (
    "id" integer NOT NULL PRIMARY KEY AUTOINCREMENT,
    "type" varchar(100) NOT NULL,
    "parameters" varchar(1000) NOT NULL
);
CREATE TABLE "django_store_parameterset" (
    "id" integer NOT NULL PRIMARY KEY AUTOINCREMENT,
    "type" varchar(100) NOT NULL,
    "content" text NOT NULL
);
CREATE TABLE "django_store_platforminformation" (
    "id" integer NOT NULL PRIMARY KEY AUTOINCREMENT,
    "architecture_bits" varchar(100) NOT NULL,
    "architecture_linkage" varchar(100) NOT NULL,
    "machine" varchar(20) NOT NULL,
    "network_name" varchar(100) NOT NULL,
    "ip_addr" char(39) NOT NULL,
    "processor" varchar(100) NOT NULL,
    "release" varchar(100) NOT NULL,
    "system_name" varchar(20) NOT NULL,
    "version" varchar(200) NOT NULL
);
CREATE TABLE "django_store_project" (
    "id" varchar(50) NOT NULL PRIMARY KEY,
    "name" varchar(200) NOT NULL,
    "description" text NOT NULL
);
CREATE TABLE "django_store_record" (
    "label" varchar(100) NOT NULL,
    "db_id" integer NOT NULL PRIMARY KEY AUTOINCREMENT,
    "reason" text NOT NULL,
    "duration" real NULL,
    "main_file" varchar(100) NOT NULL,
    "version" varchar(50) NOT NULL,
    "outcome" text NOT NULL,
    "timestamp" datetime NOT NULL,
    "tags" varchar(255) NOT NULL,
    "diff" text NOT NULL,
    "user" varchar(100) NOT NULL,
    "script_arguments" text NOT NULL,
    "stdout_stderr" text NOT NULL,
    "repeats" varchar(100) NULL,
    "datastore_id" integer NOT NULL REFERENCES "django_store_datastore" ("id") DEFERRABLE INITIALLY DEFERRED,
    "executable_id" integer NULL REFERENCES "django_store_executable" ("id") DEFERRABLE INITIALLY DEFERRED,
    "input_datastore_id" integer NOT NULL REFERENCES "django_store_datastore" ("id") DEFERRABLE INITIALLY DEFERRED,
    "launch_mode_id" integer NOT NULL REFERENCES "django_store_launchmode" ("id") DEFERRABLE INITIALLY DEFERRED,
    "parameters_id" integer NOT NULL REFERENCES "django_store_parameterset" ("id") DEFERRABLE INITIALLY DEFERRED,
    "project_id" varchar(50) NULL REFERENCES "django_store_project" ("id") DEFERRABLE INITIALLY DEFERRED,
    "repository_id" integer NULL REFERENCES "django_store_repository" ("id") DEFERRABLE INITIALLY DEFERRED
);
CREATE TABLE "django_store_record_dependencies" (
    "id" integer NOT NULL PRIMARY KEY AUTOINCREMENT,
    "record_id" integer NOT NULL REFERENCES "django_store_record" ("db_id") DEFERRABLE INITIALLY DEFERRED,
    "dependency_id" integer NOT NULL REFERENCES "django_store_dependency" ("id") DEFERRABLE INITIALLY DEFERRED
);
CREATE TABLE "django_store_record_input_data" (
    "id" integer NOT NULL PRIMARY KEY AUTOINCREMENT,
    "record_id" integer NOT NULL REFERENCES "django_store_record" ("db_id") DEFERRABLE INITIALLY DEFERRED,
    "datakey_id" integer NOT NULL REFERENCES "django_store_datakey" ("id") DEFERRABLE INITIALLY DEFERRED
);
CREATE TABLE "django_store_record_platforms" (
    "id" integer NOT NULL PRIMARY KEY AUTOINCREMENT,
    "record_id" integer NOT NULL REFERENCES "django_store_record" ("db_id") DEFERRABLE INITIALLY DEFERRED,
    "platforminformation_id" integer NOT NULL REFERENCES "django_store_platforminformation" ("id") DEFERRABLE INITIALLY DEFERRED
);
CREATE TABLE "django_store_repository" (
    "id" integer NOT NULL PRIMARY KEY AUTOINCREMENT,
    "type" varchar(100) NOT NULL,
    "url" varchar(200) NOT NULL,
    "upstream" varchar(200) NULL
);
CREATE TABLE "django_store_tag" (
    "id" integer NOT NULL PRIMARY KEY AUTOINCREMENT,
    "name" varchar(50) NOT NULL UNIQUE
);
CREATE TABLE "django_store_taggeditem" (
    "id" integer NOT NULL PRIMARY KEY AUTOINCREMENT,
    "object_id" integer unsigned NOT NULL CHECK ("object_id" >= 0),
    "content_type_id" integer NOT NULL REFERENCES "django_content_type" ("id") DEFERRABLE INITIALLY DEFERRED,
    "tag_id" integer NOT NULL REFERENCES "django_store_tag" ("id") DEFERRABLE INITIALLY DEFERRED
);
CREATE UNIQUE INDEX "django_content_type_app_label_model_76bd3d3b_uniq" ON "django_content_type" ("app_label", "model");
CREATE INDEX "django_store_datakey_output_from_record_id_b3dd986e" ON "django_store_datakey" ("output_from_record_id");
CREATE INDEX "django_store_record_datastore_id_03f44534" ON "django_store_record" ("datastore_id");
CREATE INDEX "django_store_record_dependencies_dependency_id_bf0437dd" ON "django_store_record_dependencies" ("dependency_id");
CREATE INDEX "django_store_record_dependencies_record_id_58f195ce" ON "django_store_record_dependencies" ("record_id");
CREATE UNIQUE INDEX "django_store_record_dependencies_record_id_dependency_id_59a060db_uniq" ON "django_store_record_dependencies" ("record_id", "dependency_id");
CREATE INDEX "django_store_record_executable_id_87363ee4" ON "django_store_record" ("executable_id");
CREATE INDEX "django_store_record_input_data_datakey_id_34f45e99" ON "django_store_record_input_data" ("datakey_id");
CREATE INDEX "django_store_record_input_data_record_id_52926d9d" ON "django_store_record_input_data" ("record_id");
CREATE UNIQUE INDEX "django_store_record_input_data_record_id_datakey_id_ec81867c_uniq" ON "django_store_record_input_data" ("record_id", "datakey_id");
CREATE INDEX "django_store_record_input_datastore_id_5e8d60fd" ON "django_store_record" ("input_datastore_id");
CREATE INDEX "django_store_record_launch_mode_id_c42d44ef" ON "django_store_record" ("launch_mode_id");
CREATE INDEX "django_store_record_parameters_id_612a2c22" ON "django_store_record" ("parameters_id");
CREATE INDEX "django_store_record_platforms_platforminformation_id_f38a47de" ON "django_store_record_platforms" ("platforminformation_id");
CREATE INDEX "django_store_record_platforms_record_id_ddf3de6a" ON "django_store_record_platforms" ("record_id");
CREATE UNIQUE INDEX "django_store_record_platforms_record_id_platforminformation_id_5dac58ba_uniq" ON "django_store_record_platforms" ("record_id", "platforminformation_id");
CREATE INDEX "django_store_record_project_id_8a4ecf6c" ON "django_store_record" ("project_id");
CREATE INDEX "django_store_record_repository_id_67e698de" ON "django_store_record" ("repository_id");
CREATE INDEX "django_store_taggeditem_content_type_id_82697b67" ON "django_store_taggeditem" ("content_type_id");
CREATE INDEX "django_store_taggeditem_object_id_a99f79f0" ON "django_store_taggeditem" ("object_id");
CREATE INDEX "django_store_taggeditem_tag_id_a5da9897" ON "django_store_taggeditem" ("tag_id");
CREATE UNIQUE INDEX "django_store_taggeditem_tag_id_content_type_id_object_id_e60b8ed5_uniq" ON "django_store_taggeditem" ("tag_id", "content_type_id", "object_id");
