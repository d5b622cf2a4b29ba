-- The schema that Sumatra 0.8.1's own migrations make in MySQL and MariaDB, so that `smt` takes the store for its own.
-- Engine, characters and collation are those of the database, as Django leaves them.
CREATE TABLE "django_content_type" (
    "id" integer NOT NULL AUTO_INCREMENT,
    "app_label" varchar(100) NOT NULL,
    "model" varchar(100) NOT NULL,
    PRIMARY KEY ("id"),
    UNIQUE KEY "django_content_type_app_label_model_76bd3d3b_uniq" ("app_label","model")
);
CREATE TABLE "django_migrations" (
    "id" integer NOT NULL AUTO_INCREMENT,
    "app" varchar(255) NOT NULL,
    "name" varchar(255) NOT NULL,
    "applied" datetime(6) NOT NULL,
    PRIMARY KEY ("id")
);
CREATE TABLE "django_store_datakey" (
    "id" integer NOT NULL AUTO_INCREMENT,
    "path" varchar(200) NOT NULL,
    "digest" varchar(40) NOT NULL,
    "creation" datetime(6) NULL,
    "metadata" longtext NOT NULL,
    "output_from_record_id" integer NULL,
    PRIMARY KEY ("id")
);
CREATE TABLE "django_store_datastore" (
    "id" integer NOT NULL AUTO_INCREMENT,
    "type" varchar(100) NOT NULL,
    "parameters" varchar(200) NOT NULL,
    PRIMARY KEY ("id")
);
CREATE TABLE "django_store_dependency" (
    "id" integer NOT NULL AUTO_INCREMENT,
    "name" varchar(50) NOT NULL,
    "path" varchar(200) NOT NULL,
    "version" varchar(40) NOT NULL,
    "diff" longtext NOT NULL,
    "source" varchar(200) NULL,
    "module" varchar(50) NOT NULL,
    PRIMARY KEY ("id")
);
CREATE TABLE "django_store_executable" (
    "id" integer NOT NULL AUTO_INCREMENT,
    "path" varchar(200) NOT NULL,
    "name" varchar(50) NOT NULL,
    "version" varchar(100) NOT NULL,
    "options" varchar(50) NOT NULL,
    PRIMARY KEY ("id")
);
CREATE TABLE "django_store_launchmode" (
    "id" integer NOT NULL AUTO_INCREMENT,
    "type" varchar(100) NOT NULL,
    "parameters" varchar(1000) NOT NULL,
    PRIMARY KEY ("id")
);
CREATE TABLE "django_store_parameterset" (
    "id" integer NOT NULL AUTO_INCREMENT,
    "type" varchar(100) NOT NULL,
    "content" longtext NOT NULL,
    PRIMARY KEY ("id")
);
CREATE TABLE "django_store_platforminformation" (
    "id" integer NOT NULL AUTO_INCREMENT,
    "architecture_bits" varchar(100) NOT NULL,
    "architecture_linkage" varchar(100) NOT NULL,
    "machine" varchar(20) NOT NULL,
    "network_name" varchar(100) NOT NULL,
    "ip_addr" char(39) NOT NULL,
    "processor" varchar(100) NOT NULL,
    "release" varchar(100) NOT NULL,
    "system_name" varchar(20) NOT NULL,
    "version" varchar(200) NOT NULL,
    PRIMARY KEY ("id")
);
CREATE TABLE "django_store_project" (
    "id" varchar(50) NOT NULL,
    "name" varchar(200) NOT NULL,
    "description" longtext NOT NULL,
    PRIMARY KEY ("id")
);
CREATE TABLE "django_store_record" (
    "label" varchar(100) NOT NULL,
    "db_id" integer NOT NULL AUTO_INCREMENT,
    "reason" longtext NOT NULL,
    "duration" double NULL,
    "main_file" varchar(100) NOT NULL,
    "version" varchar(50) NOT NULL,
    "outcome" longtext NOT NULL,
    "timestamp" datetime(6) NOT NULL,
    "tags" varchar(255) NOT NULL,
    "diff" longtext NOT NULL,
    "user" varchar(100) NOT NULL,
    "script_arguments" longtext NOT NULL,
    "stdout_stderr" longtext NOT NULL,
    "repeats" varchar(100) NULL,
    "datastore_id" integer NOT NULL,
    "executable_id" integer NULL,
    "input_datastore_id" integer NOT NULL,
    "launch_mode_id" integer NOT NULL,
    "parameters_id" integer NOT NULL,
    "project_id" varchar(50) NULL,
    "repository_id" integer NULL,
    PRIMARY KEY ("db_id")
);
CREATE TABLE "django_store_record_dependencies" (
    "id" integer NOT NULL AUTO_INCREMENT,
    "record_id" integer NOT NULL,
    "dependency_id" integer NOT NULL,
    PRIMARY KEY ("id"),
    UNIQUE KEY "django_store_record_depe_record_id_dependency_id_59a060db_uniq" ("record_id","dependency_id")
);
CREATE TABLE "django_store_record_input_data" (
    "id" integer NOT NULL AUTO_INCREMENT,
    "record_id" integer NOT NULL,
    "datakey_id" integer NOT NULL,
    PRIMARY KEY ("id"),
    UNIQUE KEY "django_store_record_inpu_record_id_datakey_id_ec81867c_uniq" ("record_id","datakey_id")
);
CREATE TABLE "django_store_record_platforms" (
    "id" integer NOT NULL AUTO_INCREMENT,
    "record_id" integer NOT NULL,
    "platforminformation_id" integer NOT NULL,
    PRIMARY KEY ("id"),
    UNIQUE KEY "django_store_record_plat_record_id_platforminform_5dac58ba_uniq" ("record_id","platforminformation_id")
);
CREATE TABLE "django_store_repository" (
    "id" integer NOT NULL AUTO_INCREMENT,
    "type" varchar(100) NOT NULL,
    "url" varchar(200) NOT NULL,
    "upstream" varchar(200) NULL,
    PRIMARY KEY ("id")
);
CREATE TABLE "django_store_tag" (
    "id" integer NOT NULL AUTO_INCREMENT,
    "name" varchar(50) NOT NULL,
    PRIMARY KEY ("id"),
    UNIQUE KEY "name" ("name")
);
CREATE TABLE "django_store_taggeditem" (
    "id" integer NOT NULL AUTO_INCREMENT,
    "object_id" int(10) unsigned NOT NULL CHECK ("object_id" >= 0),
    "content_type_id" integer NOT NULL,
    "tag_id" integer NOT NULL,
    PRIMARY KEY ("id"),
    UNIQUE KEY "django_store_taggeditem_tag_id_content_type_id_o_e60b8ed5_uniq" ("tag_id","content_type_id","object_id"),
    KEY "django_store_taggeditem_object_id_a99f79f0" ("object_id")
);
ALTER TABLE "django_store_datakey" ADD CONSTRAINT "django_store_datakey_output_from_record_i_b3dd986e_fk_django_st" FOREIGN KEY ("output_from_record_id") REFERENCES "django_store_record" ("db_id");
ALTER TABLE "django_store_record" ADD CONSTRAINT "django_store_record_datastore_id_03f44534_fk_django_st" FOREIGN KEY ("datastore_id") REFERENCES "django_store_datastore" ("id");
ALTER TABLE "django_store_record" ADD CONSTRAINT "django_store_record_executable_id_87363ee4_fk_django_st" FOREIGN KEY ("executable_id") REFERENCES "django_store_executable" ("id");
ALTER TABLE "django_store_record" ADD CONSTRAINT "django_store_record_input_datastore_id_5e8d60fd_fk_django_st" FOREIGN KEY ("input_datastore_id") REFERENCES "django_store_datastore" ("id");
ALTER TABLE "django_store_record" ADD CONSTRAINT "django_store_record_launch_mode_id_c42d44ef_fk_django_st" FOREIGN KEY ("launch_mode_id") REFERENCES "django_store_launchmode" ("id");
ALTER TABLE "django_store_record" ADD CONSTRAINT "django_store_record_parameters_id_612a2c22_fk_django_st" FOREIGN KEY ("parameters_id") REFERENCES "django_store_parameterset" ("id");
ALTER TABLE "django_store_record" ADD CONSTRAINT "django_store_record_project_id_8a4ecf6c_fk_django_st" FOREIGN KEY ("project_id") REFERENCES "django_store_project" ("id");
ALTER TABLE "django_store_record" ADD CONSTRAINT "django_store_record_repository_id_67e698de_fk_django_st" FOREIGN KEY ("repository_id") REFERENCES "django_store_repository" ("id");
ALTER TABLE "django_store_record_dependencies" ADD CONSTRAINT "django_store_record__dependency_id_bf0437dd_fk_django_st" FOREIGN KEY ("dependency_id") REFERENCES "django_store_dependency" ("id");
ALTER TABLE "django_store_record_dependencies" ADD CONSTRAINT "django_store_record__record_id_58f195ce_fk_django_st" FOREIGN KEY ("record_id") REFERENCES "django_store_record" ("db_id");
ALTER TABLE "django_store_record_input_data" ADD CONSTRAINT "django_store_record__datakey_id_34f45e99_fk_django_st" FOREIGN KEY ("datakey_id") REFERENCES "django_store_datakey" ("id");
ALTER TABLE "django_store_record_input_data" ADD CONSTRAINT "django_store_record__record_id_52926d9d_fk_django_st" FOREIGN KEY ("record_id") REFERENCES "django_store_record" ("db_id");
ALTER TABLE "django_store_record_platforms" ADD CONSTRAINT "django_store_record__platforminformation__f38a47de_fk_django_st" FOREIGN KEY ("platforminformation_id") REFERENCES "django_store_platforminformation" ("id");
ALTER TABLE "django_store_record_platforms" ADD CONSTRAINT "django_store_record__record_id_ddf3de6a_fk_django_st" FOREIGN KEY ("record_id") REFERENCES "django_store_record" ("db_id");
ALTER TABLE "django_store_taggeditem" ADD CONSTRAINT "django_store_taggedi_content_type_id_82697b67_fk_django_co" FOREIGN KEY ("content_type_id") REFERENCES "django_content_type" ("id");
ALTER TABLE "django_store_taggeditem" ADD CONSTRAINT "django_store_taggeditem_tag_id_a5da9897_fk_django_store_tag_id" FOREIGN KEY ("tag_id") REFERENCES "django_store_tag" ("id");
